# Everything a fresh machine needs is Python 3.11+, git and this file.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Libraries that call home are told not to; bytecode is cached, or every process recompiles torch.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_ALBUMENTATIONS_UPDATE := 1
# Certificates of the machine, so that a network with an authority of its own works.
export UV_SYSTEM_CERTS := true
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup lock check test slow realdata demo bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## make .venv with the pinned dependencies

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "== setting up $(VENV) from requirements.lock (a minute or two)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

lock: ## resolve requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
	  -p 3.11 --extra dev --extra build pyproject.toml -o requirements.lock

check: setup ## types, layers and style
	ruff format --check .
	ruff check .
	mypy
	lint-imports

test: check ## check, then the fast tests
	pytest -n 2

slow: setup ## whole pipelines, kill tests, long fuzzing
	pytest -n 2 --dist loadscope -m slow

realdata: setup ## tests on real slides, where MINERALSEG_REALDATA points to them
	pytest -n 2 --dist loadscope -m realdata

demo: setup ## the main job, end to end, on synthetic thin sections (in ./demo)
	bash docs/tutorial/demo.sh

bench: setup ## claims as ratios, measured side by side
	for file in benchmarks/bench_*.py; do python $$file; done

clean: ## remove what the demo made
	rm -rf demo
