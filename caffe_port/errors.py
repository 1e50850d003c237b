"""What can go wrong, by kind, so that a caller can catch one kind and a user can read where, what and what next."""

from __future__ import annotations


class CaffeError(Exception):
    """Base of every error that this project raises on purpose."""


class PrototxtError(CaffeError):
    """Text that is not the message it should be; the message starts with `file:line:column`."""


class WireError(CaffeError):
    """A binary file that is truncated, damaged or not what its name says."""


class NetError(CaffeError):
    """A graph that cannot be: a bottom that nobody makes, two producers of one blob, mixed formats."""


class LayerError(CaffeError):
    """A layer that cannot do what its definition asks; the message starts with `layer 'name' (Type):`."""


class ShapeError(LayerError):
    """Shapes that do not fit a layer."""


class UnsupportedError(LayerError):
    """A layer type or option that we know of and cannot do, or do not know at all."""


class WeightsError(CaffeError):
    """Weights that do not fit the net they are given to."""


class DataError(CaffeError):
    """A data source or one of its records; the message names the source and, where there is one, the key."""


class SolverError(CaffeError):
    """A solver definition or a solver state that cannot be used."""


class ConvertError(CaffeError):
    """A conversion that has no exact form, or whose result did not agree with the original."""
