"""Run code that says `import caffe`, unchanged, as Python itself would run it:

    python -m caffe_port.pycaffe SCRIPT [ARGUMENTS]
    python -m caffe_port.pycaffe -m MODULE [ARGUMENTS]

`caffe` is this package there, even beside a genuine one. A script's folder is first on the path, so that it finds the
modules beside it.
"""

import os
import runpy
import sys

from caffe_port.pycaffe import alias

if __name__ == "__main__":
    del sys.argv[0]
    if not sys.argv or sys.argv == ["-m"]:
        sys.exit("usage: python -m caffe_port.pycaffe SCRIPT [ARGUMENTS], or -m MODULE in the place of SCRIPT")
    alias.install(first=True)
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
        runpy.run_path(sys.argv[0], run_name="__main__")
