"""Old nets and solvers in today's format: `upgrade_net` and `upgrade_solver` give a new message, the given one stays.

Where the behaviour comes from: src/caffe/util/upgrade_proto.cpp, UpgradeNetAsNeeded and UpgradeSolverAsNeeded; the
steps, their order and the log lines are Caffe's. How it differs: a file that mixes `layer` and `layers` is refused,
where Caffe drops one of the two; inputs without their four dimensions are refused, where Caffe reads past the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from caffe_port import log
from caffe_port.errors import NetError, SolverError
from caffe_port.proto import caffe_pb2
from caffe_port.proto.upgrade_v0 import from_v0, is_v0
from caffe_port.proto.upgrade_v1 import from_v1, is_v1

TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
DATA_LAYERS = {  # V1 type -> the message that held the transformation
    caffe_pb2.V1LayerParameter.DATA: "data_param",
    caffe_pb2.V1LayerParameter.IMAGE_DATA: "image_data_param",
    caffe_pb2.V1LayerParameter.WINDOW_DATA: "window_data_param",
}
SOLVER_TYPES = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta", "ADAM": "Adam",
}  # fmt: skip


def upgrade_net(param: Any, source: str | None = None) -> Any:
    """A copy of the NetParameter in today's format. With `source`, each step is logged as Caffe logs it for that file.

    Raises NetError for a net that mixes the formats or that an old format cannot have meant.
    """
    refuse_mixed(param, source)
    upgraded = caffe_pb2.NetParameter()
    upgraded.CopyFrom(param)
    for step in STEPS:
        if step.needed(upgraded):
            if source is not None:
                place, line = step.before
                log.info(f"upgrade_proto.cpp:{place}", line + source)
            upgraded = step.apply(upgraded)
            if source is not None:
                for level, place, line in step.after:
                    log.log(level, f"upgrade_proto.cpp:{place}", line)
    return upgraded


def needs_upgrade(param: Any) -> bool:
    return any(step.needed(param) for step in STEPS)


def refuse_mixed(param: Any, source: str | None = None) -> None:
    """Raises NetError if the net has both `layer` and `layers`."""
    if param.layer and param.layers:
        old = _some([layer.name or layer.layer.name for layer in param.layers])
        new = _some([layer.name for layer in param.layer])
        raise NetError(
            f"{source or 'the net'} mixes two formats: `layers` for {old} and `layer` for {new}; "
            "write all of them as `layer`"
        )


def _some(names: list[str]) -> str:
    return ", ".join(name or "(no name)" for name in names[:8]) + (" ..." if len(names) > 8 else "")


def needs_transform(param: Any) -> bool:
    return any(
        getattr(layer, DATA_LAYERS[layer.type]).HasField(field)
        for layer in param.layers
        if layer.type in DATA_LAYERS
        for field in TRANSFORM_FIELDS
    )


def upgrade_transform(param: Any) -> Any:
    """scale, mean_file, crop_size and mirror move from the data layers' own messages into transform_param (V1 only)."""
    for layer in param.layers:
        if layer.type in DATA_LAYERS:
            data = getattr(layer, DATA_LAYERS[layer.type])
            for field in TRANSFORM_FIELDS:
                if data.HasField(field):
                    setattr(layer.transform_param, field, getattr(data, field))
                    data.ClearField(field)
    return param


def needs_inputs(param: Any) -> bool:
    return bool(param.input)


def upgrade_inputs(param: Any) -> Any:
    """`input` with `input_shape` or `input_dim` becomes one Input layer, named "input", at the head of the net.

    Inputs without any shape (in a .caffemodel) are only taken away.
    """
    names, shapes, dims = list(param.input), list(param.input_shape), list(param.input_dim)
    if shapes or dims:
        if shapes and len(shapes) != len(names):
            raise NetError(f"{len(names)} inputs ({', '.join(names)}) but {len(shapes)} input_shape; give one for each")
        if not shapes and len(dims) != 4 * len(names):
            raise NetError(f"{len(names)} inputs ({', '.join(names)}) but {len(dims)} input_dim; give four for each")
        layers = list(param.layer)
        param.ClearField("layer")
        layer = param.layer.add(name="input", type="Input", top=names)
        if shapes:
            layer.input_param.shape.extend(shapes)
        else:
            layer.input_param.shape.extend(caffe_pb2.BlobShape(dim=dims[i : i + 4]) for i in range(0, len(dims), 4))
        param.layer.extend(layers)
    for field in ("input", "input_shape", "input_dim"):
        param.ClearField(field)
    return param


def needs_batch_norm(param: Any) -> bool:
    return any(layer.type == "BatchNorm" and len(layer.param) == 3 for layer in param.layer)


def upgrade_batch_norm(param: Any) -> Any:
    """The three statistics of a BatchNorm layer are no parameters to learn: rate and decay become 0, the rest stays."""
    for layer in param.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = 0
                spec.decay_mult = 0
    return param


def upgrade_solver(param: Any, source: str | None = None) -> Any:
    """A copy of the SolverParameter with `solver_type` (an enum) as `type` (a string).

    Raises SolverError where both are given.
    """
    upgraded = caffe_pb2.SolverParameter()
    upgraded.CopyFrom(param)
    if upgraded.HasField("solver_type"):
        name = caffe_pb2.SolverParameter.SolverType.Name(upgraded.solver_type)
        if upgraded.HasField("type"):
            raise SolverError(
                f'{source or "the solver"}: solver_type: {name} (old) and type: "{upgraded.type}" (new) '
                "cannot both be given; keep type"
            )
        if source is not None:
            old = "deprecated 'solver_type' field (enum)"
            log.info("upgrade_proto.cpp:1084", f"Attempting to upgrade input file specified using {old}': {source}")
            log.info(
                "upgrade_proto.cpp:1091", f"Successfully upgraded file specified using {old} to 'type' field (string)."
            )
            note = "Note that future Caffe releases will only support 'type' field (string) for a solver's type."
            log.warn("upgrade_proto.cpp:1093", note)
        upgraded.ClearField("solver_type")
        upgraded.type = SOLVER_TYPES[name]
    return upgraded


class Step(NamedTuple):
    needed: Callable[[Any], bool]
    apply: Callable[[Any], Any]
    before: tuple[int, str]
    after: tuple[tuple[str, int, str], ...]


_USING = "Attempting to upgrade input file specified using deprecated "
_DONE = "Successfully upgraded file specified using deprecated "
_NOTE = "Note that future Caffe releases will "
STEPS = (  # in Caffe's order: each format becomes the next one
    Step(
        is_v0,
        from_v0,
        (28, _USING + "V0LayerParameter: "),
        (
            ("I", 36, _DONE + "V0LayerParameter"),
            ("W", 39, _NOTE + "not support V0NetParameter; use ./build/tools/upgrade_net_proto_text for prototxt "
             "and ./build/tools/upgrade_net_proto_binary for model weights upgrade this and any other net protos to "
             "the new format."),
        ),
    ),
    Step(
        needs_transform,
        upgrade_transform,
        (46, _USING + "transformation parameters: "),
        (
            ("I", 49, _DONE + "data transformation parameters."),
            ("W", 51, _NOTE + "only support transform_param messages for transformation fields."),
        ),
    ),
    Step(is_v1, from_v1, (55, _USING + "V1LayerParameter: "), (("I", 63, _DONE + "V1LayerParameter"),)),
    Step(
        needs_inputs,
        upgrade_inputs,
        (69, _USING + "input fields: "),
        (("I", 72, _DONE + "input fields."), ("W", 74, _NOTE + "only support input layers and not input fields.")),
    ),
    Step(
        needs_batch_norm,
        upgrade_batch_norm,
        (79, "Attempting to upgrade batch norm layers using deprecated params: "),
        (("I", 82, "Successfully upgraded batch norm layers using deprecated params."),),
    ),
)  # fmt: skip
