# Every target brings its own virtual environment up to date first.
#   make demo   run the baseline on the embedded videos and draw what it found
#   make test   the test suite
#   make check  formatting, lint, types
#   make all    every trial on the embedded videos, and their table; goes on where it was stopped
# Variables: PYTHON (3.11 or newer), VENV, CONSTRAINTS (pinned versions; empty for the newest), PYTEST_ARGS.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PYTEST_ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))
PACKAGING := pyproject.toml $(wildcard $(CONSTRAINTS))

.PHONY: all bench check clean demo test venv
.DEFAULT_GOAL := all

all: $(VENV)/.installed
	$(BIN)/vistrials run-all --profile demo
	$(BIN)/vistrials compare --profile demo

venv: $(VENV)/.installed

$(VENV)/.installed: $(PACKAGING)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vistrials needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/vistrials run baseline --profile demo --results build
	$(BIN)/vistrials visualize build/demo/baseline/seed0 --frames 6 --out build/demo/baseline/seed0/strip.png

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vistrials check

bench: $(VENV)/.installed-dev
	for file in benchmarks/*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

clean:
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find vistrials tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
