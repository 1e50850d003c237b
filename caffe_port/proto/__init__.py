"""Caffe's messages: the schema, text and binary in and out, upgrades, filtering, splits. Start at `load.py`."""
