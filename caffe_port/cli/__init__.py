"""The command `caffe-port`: Caffe's own commands with their spelling, and what we add. It starts in `main.py`."""
