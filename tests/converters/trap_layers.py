"""The table of traps, single layers: `name | shapes of the bottoms | type | options in its message | what else`.

Shapes are separated by commas; `tops=2` gives the layer more than one top, `values=` the kind of the inputs.
"""

from __future__ import annotations

import re

from tests.converters.traps import Trap

TABLE = """
pool_ceil_max           | 2 3 8 10  | Pooling | kernel_size: 3 stride: 2
pool_ceil_ave           | 2 3 8 10  | Pooling | pool: AVE kernel_size: 3 stride: 2
pool_clip_max           | 2 3 5 7   | Pooling | kernel_size: 2 stride: 2 pad: 1
pool_clip_ave           | 2 3 5 7   | Pooling | pool: AVE kernel_size: 2 stride: 2 pad: 1
pool_ave_counts_pad     | 2 3 6 8   | Pooling | pool: AVE kernel_size: 3 stride: 2 pad: 1
pool_ave_pad_no_ceil    | 2 3 7 9   | Pooling | pool: AVE kernel_size: 3 stride: 2 pad: 1
pool_ave_wide_pad       | 2 3 9 11  | Pooling | pool: AVE kernel_size: 5 stride: 4 pad: 2
pool_max_wide_pad       | 2 3 6 7   | Pooling | kernel_size: 3 stride: 1 pad: 2
pool_ave_pad_past_half  | 2 3 6 7   | Pooling | pool: AVE kernel_size: 3 stride: 2 pad: 2
pool_max_pad_of_negatives | 2 3 6 7 | Pooling | kernel_size: 3 stride: 2 pad: 1 | values=negative
pool_stride_over_kernel | 2 3 8 10  | Pooling | kernel_size: 2 stride: 3
pool_stride_over_kernel_ave | 2 3 8 10 | Pooling | pool: AVE kernel_size: 2 stride: 3
pool_one_by_one         | 2 3 7 10  | Pooling | kernel_size: 1 stride: 2
pool_global_max         | 2 3 5 7   | Pooling | global_pooling: true
pool_global_ave         | 2 3 5 7   | Pooling | pool: AVE global_pooling: true
pool_rectangle          | 2 3 9 8   | Pooling | kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0
pool_rectangle_ave | 2 3 9 8 | Pooling | pool: AVE kernel_h: 2 kernel_w: 5 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2
pool_mask               | 2 3 6 7   | Pooling | kernel_size: 3 stride: 2 | tops=2
pool_over_whole         | 2 3 5 4   | Pooling | pool: AVE kernel_h: 5 kernel_w: 4
conv_group              | 2 6 7 5   | Convolution | num_output: 4 kernel_size: 3 group: 2
conv_depthwise          | 2 6 7 5   | Convolution | num_output: 6 kernel_size: 3 group: 6 pad: 1
conv_dilation           | 2 3 9 8   | Convolution | num_output: 4 kernel_size: 3 dilation: 2 pad: 1
conv_dilations          | 2 3 9 8   | Convolution | num_output: 4 kernel_size: 3 dilation: 2 dilation: 1
conv_repeated_sizes | 2 3 9 8 | Convolution | num_output: 4 kernel_size: [3, 2] stride: [2, 1] pad: [1, 0]
conv_h_w | 2 3 9 8 | Convolution | num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 stride_h: 2 stride_w: 1
conv_no_bias            | 2 3 7 5   | Convolution | num_output: 4 kernel_size: 3 bias_term: false
conv_floor              | 2 3 8 10  | Convolution | num_output: 4 kernel_size: 3 stride: 2
conv_one_spatial_axis   | 2 3 9     | Convolution | num_output: 4 kernel_size: 3 pad: 1
conv_three_spatial_axes | 1 2 5 4 6 | Convolution | num_output: 3 kernel_size: 3 pad: 1 stride: 2
conv_negative_axis      | 2 3 7 5   | Convolution | num_output: 4 kernel_size: 3 axis: -3
conv_two_bottoms        | 2 3 7 5, 2 3 7 5 | Convolution | num_output: 4 kernel_size: 3 | tops=2
conv_force_nd           | 2 3 7 5   | Convolution | num_output: 4 kernel_size: 3 force_nd_im2col: true stride: 2
deconv_stride_pad       | 2 3 5 4   | Deconvolution | num_output: 4 kernel_size: 4 stride: 2 pad: 1
deconv_group            | 2 6 5 4   | Deconvolution | num_output: 4 kernel_size: 3 stride: 2 group: 2
deconv_dilation         | 2 3 5 4   | Deconvolution | num_output: 4 kernel_size: 3 stride: 2 dilation: 2
deconv_rectangle | 2 3 5 4 | Deconvolution | num_output: 4 kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 2 pad_w: 1
deconv_gaps             | 2 3 5 4   | Deconvolution | num_output: 4 kernel_size: 2 stride: 3 bias_term: false
ip_flattens             | 2 3 4 5   | InnerProduct | num_output: 6
ip_axis                 | 2 3 4 5   | InnerProduct | num_output: 6 axis: 2
ip_negative_axis        | 2 3 4 5   | InnerProduct | num_output: 6 axis: -1
ip_transpose            | 2 3 4     | InnerProduct | num_output: 6 transpose: true
ip_transpose_axis       | 2 3 4 5   | InnerProduct | num_output: 6 axis: 3 transpose: true bias_term: false
eltwise_coefficients    | 2 3 4, 2 3 4, 2 3 4 | Eltwise | coeff: 1 coeff: -0.5 coeff: 2
eltwise_difference      | 2 3 4 5, 2 3 4 5 | Eltwise | operation: SUM coeff: 1 coeff: -1
eltwise_max             | 2 3 4, 2 3 4, 2 3 4 | Eltwise | operation: MAX
eltwise_product         | 2 3 4, 2 3 4, 2 3 4 | Eltwise | operation: PROD stable_prod_grad: false
softmax_channel         | 2 3 4 5   | Softmax |
softmax_last            | 2 3 4 5   | Softmax | axis: -1
softmax_middle          | 2 3 4 5   | Softmax | axis: 2
softmax_two_axes        | 2 5       | Softmax |
softmax_batch_axis      | 3 5       | Softmax | axis: 0
slice_without_points    | 2 6 4     | Slice | axis: 1 | tops=3
slice_points            | 2 7 4     | Slice | slice_point: 2 slice_point: 3 | tops=3
slice_negative_axis     | 2 3 7     | Slice | axis: -1 slice_point: 5 | tops=2
slice_legacy_dim        | 2 3 4 6   | Slice | slice_dim: 3 | tops=2
slice_one_top           | 2 3 4     | Slice | axis: 1
concat_default_axis     | 2 3 4, 2 2 4 | Concat |
concat_negative_axis    | 2 3 4, 2 3 2 | Concat | axis: -1
concat_legacy_dim       | 2 3 4 5, 2 3 1 5 | Concat | concat_dim: 2
concat_batch_axis       | 2 3 4, 1 3 4 | Concat | axis: 0
concat_one_bottom       | 2 3 4     | Concat |
lrn_across              | 2 7 5 4   | LRN | local_size: 5 alpha: 0.3 beta: 0.75
lrn_k                   | 2 7 5 4   | LRN | local_size: 3 alpha: 0.3 beta: 0.5 k: 2
lrn_wider_than_channels | 2 3 5 4   | LRN | local_size: 7 alpha: 0.3
lrn_within              | 2 3 6 5   | LRN | norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.3
lrn_within_wide         | 2 3 4 5   | LRN | norm_region: WITHIN_CHANNEL local_size: 5 alpha: 0.5 beta: 0.6
relu_negative_slope     | 2 3 4     | ReLU | negative_slope: 0.3
prelu_channels          | 2 3 4 5   | PReLU |
prelu_shared            | 2 3 4 5   | PReLU | channel_shared: true
prelu_two_axes          | 4 3       | PReLU |
elu_alpha               | 2 3 4     | ELU | alpha: 0.4
bnll                    | 2 3 4     | BNLL |
absval                  | 2 3 4     | AbsVal |
threshold               | 2 3 4     | Threshold | threshold: 0.2
dropout_at_test         | 2 3 4     | Dropout | dropout_ratio: 0.7
scale_channels          | 2 3 4 5   | Scale |
scale_bias              | 2 3 4 5   | Scale | bias_term: true
scale_axis              | 2 3 4 5   | Scale | axis: 2 bias_term: true
scale_axes              | 2 3 4 5   | Scale | axis: 1 num_axes: 2
scale_to_the_end        | 2 3 4 5   | Scale | axis: 1 num_axes: -1 bias_term: true
scale_scalar            | 2 3 4 5   | Scale | num_axes: 0
scale_negative_axis     | 2 3 4 5   | Scale | axis: -1
scale_two_bottoms       | 2 3 4 5, 3 4 | Scale | axis: 1
scale_two_bottoms_batch | 2 3 4 5, 2 3 | Scale | axis: 0
scale_two_bottoms_bias  | 2 3 4 5, 3 4 | Scale | axis: 1 bias_term: true
bias_channels           | 2 3 4 5   | Bias |
bias_axis               | 2 3 4 5   | Bias | axis: 2 num_axes: 2
bias_two_bottoms        | 2 3 4 5, 2 3 | Bias | axis: 0
reshape_copy_infer      | 2 3 4 5   | Reshape | shape { dim: 0 dim: -1 dim: 5 }
reshape_axis            | 2 3 4 5   | Reshape | axis: 1 shape { dim: -1 dim: 2 }
reshape_some_axes       | 2 3 4 5   | Reshape | axis: 1 num_axes: 2 shape { dim: 6 dim: 2 }
reshape_inserts         | 2 3 4     | Reshape | axis: 1 num_axes: 0 shape { dim: 1 }
reshape_negative_axis   | 2 3 4     | Reshape | axis: -2 shape { dim: 2 dim: 2 }
reshape_appends         | 2 3       | Reshape | axis: -1 num_axes: 0 shape { dim: 1 dim: 1 }
crop_default            | 2 3 7 8, 2 3 4 5 | Crop |
crop_offset             | 2 3 7 8, 2 3 4 5 | Crop | axis: 2 offset: 2
crop_offsets            | 2 3 7 8, 2 3 4 5 | Crop | axis: 2 offset: 1 offset: 3
crop_channels           | 2 5 7 8, 2 3 4 5 | Crop | axis: 1 offset: 2 offset: 0 offset: 1
crop_negative_axis      | 2 3 7 8, 2 3 4 5 | Crop | axis: -1 offset: 2
flatten                 | 2 3 4 5   | Flatten |
flatten_axis            | 2 3 4 5   | Flatten | axis: 2
flatten_to              | 2 3 4 5   | Flatten | axis: 1 end_axis: 2
flatten_negative        | 2 3 4 5   | Flatten | axis: -3 end_axis: -2
flatten_batch           | 2 3 4     | Flatten | axis: 0 end_axis: 1
power_all               | 2 3 4     | Power | power: 2 scale: 0.3 shift: -1
power_zero              | 2 3 4     | Power | power: 0 scale: 3
power_scale_zero        | 2 3 4     | Power | power: 3 scale: 0 shift: 2
power_fraction          | 2 3 4     | Power | power: 0.5 shift: 0.1 | values=positive
exp_natural             | 2 3 4     | Exp |
exp_base                | 2 3 4     | Exp | base: 2 scale: 0.5 shift: -1
log_natural             | 2 3 4     | Log | | values=positive
log_base                | 2 3 4     | Log | base: 10 scale: 3 shift: 2 | values=positive
reduction_sum           | 2 3 4 5   | Reduction | axis: 1 coeff: 0.5
reduction_mean          | 2 3 4 5   | Reduction | operation: MEAN axis: 2
reduction_asum          | 2 3 4 5   | Reduction | operation: ASUM axis: -1 coeff: -1
reduction_sumsq         | 2 3 4 5   | Reduction | operation: SUMSQ axis: 1
reduction_of_all        | 2 3 4     | Reduction | operation: MEAN
argmax_flattens         | 3 4 2     | ArgMax |
argmax_pairs            | 3 4 2     | ArgMax | out_max_val: true top_k: 2
argmax_axis             | 2 5 4     | ArgMax | axis: 1
argmax_axis_values      | 2 5 4     | ArgMax | axis: 1 out_max_val: true top_k: 2
argmax_negative_axis    | 2 5 4     | ArgMax | axis: -1 top_k: 3
tile_channels           | 2 3 4     | Tile | tiles: 3
tile_negative_axis      | 2 3 4     | Tile | tiles: 2 axis: -1
embed                   | 3 2       | Embed | input_dim: 4 num_output: 5 | values=index
embed_no_bias           | 3         | Embed | input_dim: 4 num_output: 5 bias_term: false | values=index
batch_reindex           | 4 3 2, 5  | BatchReindex | | values=b1:index
mvn                     | 2 3 4 5   | MVN |
mvn_mean_only           | 2 3 4 5   | MVN | normalize_variance: false
mvn_across              | 2 3 4 5   | MVN | across_channels: true eps: 0.1
bn_factor               | 3 4 5 2   | BatchNorm | use_global_stats: true
bn_zero_factor          | 3 4 5 2   | BatchNorm | use_global_stats: true | zero
bn_eps                  | 3 4 5 2   | BatchNorm | use_global_stats: true eps: 0.5
bn_two_axes             | 3 4       | BatchNorm | use_global_stats: true
spp                     | 2 3 7 6   | SPP | pyramid_height: 3
im2col                  | 2 3 6 5   | Im2col | kernel_size: 3 stride: 2 pad: 1
im2col_dilated          | 2 3 7 6   | Im2col | kernel_size: 2 dilation: 2
split                   | 2 3 4     | Split | | tops=2
swish_beta              | 2 3 4     | Swish | beta: 1.7
lstm                    | 4 2 3, 4 2 | LSTM | num_output: 5 | values=b1:steps
rnn                     | 4 2 3, 4 2 | RNN | num_output: 5 | values=b1:steps
lstm_static             | 4 2 3, 4 2, 2 6 | LSTM | num_output: 5 | values=b1:steps
"""


MESSAGES = {"ArgMax": "argmax_param", "Deconvolution": "convolution_param", "Im2col": "convolution_param"}
MESSAGES |= {"LSTM": "recurrent_param", "RNN": "recurrent_param"}
"""The message of a type that is not called as the type is."""


def traps() -> list[Trap]:
    return [_trap(line) for line in TABLE.strip().splitlines()]


def _trap(line: str) -> Trap:
    name, shapes, type, options, *more = (cell.strip() for cell in line.split("|"))
    settings = dict(word.partition("=")[::2] for word in " ".join(more).split())
    lines = []
    bottoms = [f"b{i}" for i in range(len(shapes.split(",")))]
    for bottom, shape in zip(bottoms, shapes.split(","), strict=True):
        dims = " ".join(f"dim: {d}" for d in shape.split())
        lines.append(f'layer {{ name: "{bottom}" type: "Input" top: "{bottom}" input_param {{ shape {{ {dims} }} }} }}')
    wires = "".join(f' bottom: "{b}"' for b in bottoms)
    wires += "".join(f' top: "t{i}"' for i in range(int(settings.get("tops", "1"))))
    message = MESSAGES.get(type) or re.sub("(?<=[a-z])(?=[A-Z][a-z])", "_", type).lower() + "_param"
    given = f" {message} {{ {options} }}" if options else ""
    lines.append(f'layer {{ name: "it" type: "{type}"{wires}{given} }}')
    return Trap(name, "\n".join(lines) + "\n", settings.get("values", "normal"), "zero" in settings)
