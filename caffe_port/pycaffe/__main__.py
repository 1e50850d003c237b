"""`python -m caffe_port.pycaffe SCRIPT [ARGUMENTS]`: run a script that says `import caffe`, unchanged."""

import runpy
import sys

from caffe_port.pycaffe import alias

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m caffe_port.pycaffe SCRIPT [ARGUMENTS]")
    alias.install()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
