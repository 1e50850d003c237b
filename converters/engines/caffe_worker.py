"""What the interpreter with a genuine pycaffe runs (`python -c` of this text): any Python 3, no package of ours.

version                                                one line on standard output
forward|backward PROTOTXT CAFFEMODEL IN.npz OUT.npz    arrays `a0`, `a1` ... and their `names` as JSON, each way
"""

import json
import sys


def version():
    try:
        from importlib.metadata import version as installed

        return "kendryte-caffe " + installed("kendryte-caffe")
    except Exception:  # another build of Caffe, or a Python before 3.8
        import caffe

        return "pycaffe " + getattr(caffe, "__version__", "")


def run(verb, prototxt, weights, given, taken):
    import caffe
    import numpy as np

    if verb == "backward":
        with open(prototxt) as f:
            text = f.read()
        if "force_backward" not in text:
            with open(prototxt, "w") as f:
                f.write("force_backward: true\n" + text)
    net = caffe.Net(prototxt, weights, caffe.TEST)
    data = np.load(given)
    inputs, seeds = json.loads(str(data["names"]))
    for i, name in enumerate(inputs):
        net.blobs[name].reshape(*data[f"a{i}"].shape)
    net.reshape()
    for i, name in enumerate(inputs):
        net.blobs[name].data[...] = data[f"a{i}"]
    names, arrays = [], []
    layers = list(net._layer_names)
    for index, layer in enumerate(layers):
        net._forward(index, index)
        if verb == "forward":
            for top, blob in enumerate(net.top_names[layer]):
                names.append((layer, top))
                arrays.append(net.blobs[blob].data.copy())
    if verb == "backward":
        for i, name in enumerate(seeds):
            net.blobs[name].diff[...] = data[f"a{len(inputs) + i}"]
        net._backward(len(layers) - 1, 0)
        for name, blob in net.blobs.items():
            names.append(("blob", name, 0))
            arrays.append(blob.diff.copy())
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                names.append(("param", name, index))
                arrays.append(blob.diff.copy())
    np.savez(taken, names=json.dumps(names), **{f"a{i}": a for i, a in enumerate(arrays)})


if __name__ == "__main__":
    import caffe

    if not hasattr(caffe, "_caffe"):
        sys.exit("the module 'caffe' here is no build of Caffe")
    if sys.argv[1] == "version":
        print(version())
    else:
        run(*sys.argv[1:6])
