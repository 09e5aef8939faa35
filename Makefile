# `make run` does the main job and `make test` the tests; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# setuptools warns that folders named as packages shadow them, which is what an editable install is for.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
# Arguments for `engine run`, as in: make run ARGS="--on here --workers 1"
ARGS ?=

.PHONY: run test check docs bench clean

run: $(VENV)/base
	$(BIN)/engine run recipes/stack.yaml $(ARGS)

test: $(VENV)/dev
	$(BIN)/python -m pytest tests -n auto $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
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

$(VENV)/dev: pyproject.toml $(VENV)/base
	$(PIP) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs
