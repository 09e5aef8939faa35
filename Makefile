# `make run` does the main job and `make test` the tests; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# setuptools warns that folders named as packages shadow them, which is what an editable install is for.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
# Arguments for `engine run`, as in: make run ARGS="--on here --workers 1"
ARGS ?=
# Installed before what needs it, so that pip does not choose a build for graphics cards: make test TORCH=torch
TORCH ?= torch==2.13.0

.PHONY: run smol test check docs clean

run: $(VENV)/base
	$(BIN)/engine run recipes/stack.yaml $(ARGS)

smol: $(VENV)/model
	$(BIN)/engine run recipes/starcoder-smol.yaml $(ARGS)

test: $(VENV)/dev
	$(BIN)/python -m pytest tests -n auto $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m engine.docs --check
	$(BIN)/python -m pytest tests -n auto -m "not slow and not ray"

docs: $(VENV)/dev
	$(BIN)/python -m engine.docs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; say which with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/base: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/model: pyproject.toml $(VENV)/base
	$(PIP) $(TORCH)
	$(PIP) --editable '.[model]'
	@touch $@

$(VENV)/dev: pyproject.toml $(VENV)/model
	$(PIP) --editable '.[dev,model]'
	@touch $@

clean:
	rm -rf $(VENV) runs
