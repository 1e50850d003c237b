# Each target is complete on a fresh machine: it sets up .venv itself.
#   make demo    the main job on drawn pedestrians: data, training, evaluation, conversion, proof, one HTML page
#   make test    everything that CI runs: ruff, mypy, the tests
#   make test-gpu  every layer's cases on CUDA against the CPU, where torch sees a GPU
#   make bench-gpu  speed, memory and equality on a GPU, all figures into runs/gpu/GPU.md
#   make lint    ruff and mypy only
#   make bench   speed beside the same network written by hand in plain torch; of the reader beside a plain loop over lmdb
#   make proto   regenerate what is made from caffe.proto;  make prototxt   regenerate prototxt/

PYTHON ?= python3
PY := .venv/bin/python
OUT ?= runs/demo

.PHONY: demo test test-gpu lint bench bench-gpu proto prototxt clean
.DEFAULT_GOAL := test

.venv/ready: setup.py constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

demo: .venv/ready
	$(PY) -m caffe_port par demo --out $(OUT)

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/mypy caffe_port converters tools

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 tests

test-gpu: .venv/ready
	$(PY) -m pytest -rs tests/layers/test_devices.py

bench: .venv/ready
	$(PY) tools/benchmark.py
	$(PY) tools/benchmark_reader.py

bench-gpu: .venv/ready
	$(PY) tools/benchmark_gpu.py --out runs/gpu

proto: .venv/ready
	$(PY) -m caffe_port.proto.generate

prototxt: .venv/ready
	$(PY) -m caffe_port.par.tree

clean:
	rm -rf .venv runs
