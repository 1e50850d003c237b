"""The table of traps, whole nets: wiring, in-place, sharing, phases and stages, V0, V1 and legacy inputs."""

from __future__ import annotations

from tests.converters.traps import Trap, golden_traps

GOLDEN_FILES = (
    "Clip/range.npz", "BatchNorm/TEST_local.npz", "Pooling/MAX_k3s2floor.npz", "Pooling/AVE_k3s2floor.npz",
    "Pooling/AVE_k3s2p1floor.npz", "Pooling/MAX_k3s2p1floor.npz",
)  # fmt: skip


def _input(shape: str, name: str = "x") -> str:
    dims = " ".join(f"dim: {d}" for d in shape.split())
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def _ip(name: str, bottom: str, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f"inner_product_param {{ num_output: 4 }} {more} }}\n"
    )


def _relu(name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {more} }}\n'


def _power(name: str, bottom: str, top: str, options: str, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "Power" bottom: "{bottom}" top: "{top}" power_param {{ {options} }} {more} }}\n'
    )


def _sum(bottoms: str, top: str = "sum", options: str = "") -> str:
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{top}" type: "Eltwise" {wires} top: "{top}" eltwise_param {{ {options} }} }}\n'


NETS = {
    "inplace_chain": _input("2 3") + _ip("fc", "x") + _relu("r", "fc", "fc") + _power("p", "fc", "fc", "shift: 1"),
    "inplace_on_input": _input("2 3") + _relu("r", "x", "x") + _ip("fc", "x"),
    "inplace_before_readers": _input("2 3") + _ip("fc", "x") + _relu("r", "fc", "fc")
    + _power("side", "fc", "side", "scale: 2") + _sum("fc side"),
    "inplace_prelu_and_scale": _input("2 3 4 5") + """
layer { name: "pr" type: "PReLU" bottom: "x" top: "x" }
layer { name: "sc" type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true } }
layer { name: "mv" type: "Sigmoid" bottom: "x" top: "y" }
""",
    "inplace_batchnorm_scale": _input("2 3 4 5") + """
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" batch_norm_param { use_global_stats: true } }
layer { name: "sc" type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true } }
layer { name: "re" type: "ReLU" bottom: "x" top: "x" }
layer { name: "ab" type: "AbsVal" bottom: "x" top: "y" }
""",
    "bn_params_of_old_files": _input("2 3 4 5") + """
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { use_global_stats: true }
  param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } }
""",
    "inplace_dropout_between": _input("2 3") + _ip("a", "x")
    + 'layer { name: "d" type: "Dropout" bottom: "a" top: "a" }\n' + _ip("b", "a"),
    "residual": _input("2 4") + _ip("a", "x") + _relu("ra", "a", "a") + _ip("b", "a") + _sum("x b")
    + _relu("rs", "sum", "sum") + _ip("c", "sum") + _sum("sum c", "last"),
    "blob_twice": _input("2 3") + _sum("x x", options="coeff: 2 coeff: -0.5"),
    "blob_squared": _input("2 3") + _sum("x x", options="operation: PROD"),
    "blob_three_readers": _input("2 3") + _relu("a", "x", "a") + _power("b", "x", "b", "power: 2")
    + _power("c", "x", "c", "scale: -1") + _sum("a b c"),
    "name_reused_for_a_new_blob": _input("2 3") + _ip("fc", "x") + _relu("y", "fc", "y") + _relu("y", "y", "y"),
    "several_outputs": _input("2 3") + _ip("a", "x") + _ip("b", "x") + _ip("c", "a"),
    "silence": _input("2 6") + """
layer { name: "s" type: "Slice" bottom: "x" top: "one" top: "two" slice_param { axis: 1 } }
layer { name: "quiet" type: "Silence" bottom: "one" }
""" + _ip("fc", "two"),
    "shared_weights": _input("2 3", "x") + _input("2 3", "y")
    + _ip("left", "x", 'param { name: "w" } param { name: "v" }')
    + _ip("right", "y", 'param { name: "w" } param { name: "v" }') + _sum("left right", options="operation: PROD"),
    "shared_weights_only": _input("2 3", "x") + _ip("left", "x", 'param { name: "w" } param { name: "v1" }')
    + _ip("right", "x", 'param { name: "w" } param { name: "v2" }'),
    "shared_permissive": _input("2 2 3") + """
layer { name: "one" type: "Bias" bottom: "x" top: "one" param { name: "w" }
  bias_param { axis: 1 num_axes: 2 } }
layer { name: "two" type: "Flatten" bottom: "one" top: "two" }
layer { name: "three" type: "Bias" bottom: "two" top: "three" param { name: "w" share_mode: PERMISSIVE }
  bias_param { axis: 1 num_axes: 1 } }
""",
    "include_test": _input("2 3") + _ip("fc", "x") + _power("a", "fc", "y", "scale: 2", "include { phase: TRAIN }")
    + _power("b", "fc", "y", "scale: 3", "include { phase: TEST }"),
    "exclude_test": _input("2 3") + _ip("fc", "x") + _relu("r", "fc", "fc", "exclude { phase: TEST }")
    + _power("b", "fc", "y", "scale: 3"),
    "two_includes_are_or": _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", "include { phase: TRAIN } include { phase: TEST }"),
    "one_include_is_and": _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", 'include { phase: TEST stage: "late" }') + _power("b", "fc", "y", "scale: 3"),
    "not_stage": _input("2 3") + _ip("fc", "x") + _relu("r", "fc", "fc", 'include { not_stage: "late" }')
    + _power("b", "fc", "y", "scale: 3"),
    "stage_in_the_file": 'state { stage: "late" }\n' + _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", 'include { stage: "late" }') + _power("b", "fc", "y", "scale: 3"),
    "stage_excluded": 'state { stage: "late" }\n' + _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", 'exclude { stage: "late" }') + _power("b", "fc", "y", "scale: 3"),
    "min_level": _input("2 3") + _ip("fc", "x") + _relu("r", "fc", "fc", "include { min_level: 1 }")
    + _power("b", "fc", "y", "scale: 3", "include { min_level: 0 max_level: 0 }"),
    "level_in_the_file_is_ignored": "state { level: 2 }\n" + _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", "include { min_level: 1 }") + _power("b", "fc", "y", "scale: 3"),
    "phase_in_the_file_is_ignored": "state { phase: TRAIN }\n" + _input("2 3") + _ip("fc", "x")
    + _relu("r", "fc", "fc", "include { phase: TRAIN }") + _power("b", "fc", "y", "scale: 3"),
    "loss_weight_scales_nothing": _input("2 3")
    + 'layer { name: "r" type: "Reduction" bottom: "x" top: "r" loss_weight: 3 reduction_param { axis: 0 } }\n',
    "legacy_input_dim": 'input: "x" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5\n' + _relu("r", "x", "y"),
    "legacy_two_inputs": 'input: "x" input: "z" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1 '
    "input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1\n" + _sum("x z", options="coeff: 1 coeff: -2"),
    "legacy_input_shape": 'input: "x" input_shape { dim: 2 dim: 3 }\n' + _ip("fc", "x"),
    "input_of_two_tops": """
layer { name: "in" type: "Input" top: "x" top: "z" input_param { shape { dim: 2 dim: 3 } } }
""" + _sum("x z", options="coeff: 1 coeff: -2"),
    "names_of_all_kinds": _input("2 3") + _ip("a/b.c", "x") + _relu("weight", "a/b.c", "type") + _ip("1", "type"),
    "v1_types_and_rates": """
input: "x" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "p" type: POOLING bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "n" type: LRN bottom: "p" top: "n" lrn_param { local_size: 3 alpha: 0.5 } }
layers { name: "f" type: INNER_PRODUCT bottom: "n" top: "f" inner_product_param { num_output: 5 } }
layers { name: "s" type: SOFTMAX bottom: "f" top: "s" }
""",
    "v1_eltwise": """
input: "x" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 4
layers { name: "e" type: ELTWISE bottom: "x" bottom: "x" top: "e" eltwise_param { operation: SUM coeff: 2 coeff: -3 } }
layers { name: "c" type: CONCAT bottom: "x" bottom: "e" top: "c" }
layers { name: "p" type: POWER bottom: "c" top: "p" power_param { power: 2 } }
""",
    "v1_shared": """
input: "x" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "a" type: INNER_PRODUCT bottom: "x" top: "a" param: "w" param: "b"
  inner_product_param { num_output: 3 } }
layers { name: "r" type: TANH bottom: "a" top: "a" }
layers { name: "b" type: INNER_PRODUCT bottom: "a" top: "b" param: "w" param: "b"
  inner_product_param { num_output: 3 } }
""",
    "v1_include": """
input: "x" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 4
layers { name: "a" type: RELU bottom: "x" top: "y" include: { phase: TRAIN } }
layers { name: "b" type: ABSVAL bottom: "x" top: "y" include: { phase: TEST } }
""",
    "v1_slice_and_flatten": """
input: "x" input_dim: 2 input_dim: 4 input_dim: 3 input_dim: 5
layers { name: "s" type: SLICE bottom: "x" top: "a" top: "b" slice_param { slice_dim: 1 slice_point: 1 } }
layers { name: "f" type: FLATTEN bottom: "b" top: "f" }
""",
    "v0_padding_layer": """
input: "x" input_dim: 2 input_dim: 3 input_dim: 6 input_dim: 7
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 stride: 2 } bottom: "pad" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
""",
    "v0_classic": """
input: "x" input_dim: 2 input_dim: 4 input_dim: 9 input_dim: 8
layers { layer { name: "c" type: "conv" num_output: 6 kernelsize: 3 group: 2 } bottom: "x" top: "c" }
layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }
layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "c" top: "p" }
layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.75 } bottom: "p" top: "n" }
layers { layer { name: "f" type: "innerproduct" num_output: 5 biasterm: false } bottom: "n" top: "f" }
layers { layer { name: "d" type: "dropout" dropout_ratio: 0.5 } bottom: "f" top: "f" }
layers { layer { name: "s" type: "softmax" } bottom: "f" top: "s" }
""",
    "train_val": """
layer { name: "x" type: "Input" top: "x" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
""" + _ip("fc", "x") + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" include { phase: TEST } }
""",
    "concat_of_versions": _input("2 3") + _ip("a", "x") + _relu("r", "a", "a") + _power("p", "a", "p", "scale: -1")
    + 'layer { name: "c" type: "Concat" bottom: "a" bottom: "p" bottom: "a" top: "c" }\n',
    "deconvolution_bilinear_crop": _input("1 2 5 4") + """
layer { name: "d" type: "Deconvolution" bottom: "x" top: "d" convolution_param { num_output: 2 kernel_size: 4
  stride: 2 group: 2 bias_term: false weight_filler { type: "bilinear" } } }
layer { name: "z" type: "Power" bottom: "x" top: "z" power_param { shift: 1 } }
layer { name: "k" type: "Crop" bottom: "d" bottom: "z" top: "k" crop_param { axis: 2 offset: 1 } }
""",
    "empty_options": _input("2 3 4 5") + 'layer { name: "s" type: "Softmax" bottom: "x" top: "s" softmax_param { } }\n',
}  # fmt: skip

VALUES = {"train_val": "x:normal label:index"}


def traps() -> list[Trap]:
    return [Trap(name, text, VALUES.get(name, "normal")) for name, text in NETS.items()] + golden_traps(GOLDEN_FILES)
