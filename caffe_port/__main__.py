"""`python -m caffe_port` is the command `caffe-port`."""

import sys

from caffe_port.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
