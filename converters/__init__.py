"""Models in and out: one neutral `Model`, one file a format, and a check before anything counts as written.

    from converters import convert
    print(convert("net.caffemodel", "net.onnx", model="deploy.prototxt"))

`read(path) -> Model`, `write(model, path)`, `convert(source, target)`. The format is the file name's extension; a
format is one module of this package that declares `EXTENSIONS` and has `read(path, net)` and/or `write(model, path)`
(see hub.py).
"""

from converters.hub import Report, convert, formats, read, write
from converters.model import Model

__all__ = ["Model", "Report", "convert", "formats", "read", "write"]
