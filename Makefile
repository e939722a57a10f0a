# Every target brings its own virtual environment up to date first.
#   make demo   run the baseline on the embedded videos and draw what it found
#   make test   the test suite
#   make check  formatting, lint, types
#   make mutants  deliberate bugs, each of which the tests must notice (minutes; WORD=... for some)
#   make chaos  kills, damaged files and full disks, and whether runs survive them (CHAOS_MINUTES, 15)
#   make all    every trial on the embedded videos, their table and loss curves; continues where it was stopped
#   make tables the tables of README and docs/study.md and the figures, from the runs in results/
#   make bench  what benchmarks/ measures (CLIP=DIR for the real clip)
#   make bench-records  those of speed on the CPU, and benchmarks/README.md from all records
#   make bench-gpu  the same of a GPU, in at most 8 minutes
# Variables: RESULTS (folder of the runs of demo and all), JOBS (runs of all side by side, about 1 GB each), PYTHON (3.11 or newer), VENV, CONSTRAINTS (pinned versions; empty for the newest), PYTEST_ARGS.

PYTHON ?= python3
VENV ?= .venv
RESULTS ?= build
JOBS ?= 2
CONSTRAINTS ?= constraints.txt
PYTEST_ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))
PACKAGING := pyproject.toml $(wildcard $(CONSTRAINTS))

.PHONY: all bench bench-gpu bench-records chaos check clean demo mutants tables test venv
.DEFAULT_GOAL := all

all: $(VENV)/.installed
	$(BIN)/vistrials run-all --profile demo --results $(RESULTS) --jobs $(JOBS)
	$(BIN)/vistrials compare --profile demo --results $(RESULTS)
	$(BIN)/vistrials plot-losses --profile demo --results $(RESULTS) --out $(RESULTS)/demo/losses.png --force

tables: $(VENV)/.installed
	$(BIN)/python docs/update_readme.py

venv: $(VENV)/.installed

$(VENV)/.installed: $(PACKAGING)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vistrials needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@echo 'installs vistrials and PyTorch into $(VENV): 3 GB to download on Linux; the README has the line for a machine without a GPU'
	$(filter-out --quiet,$(INSTALL)) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	@echo 'demo: draws the videos, trains, infers two splits and scores them: about 5 minutes on two idle cores; stages say what is left'
	$(BIN)/vistrials run baseline --profile demo --results $(RESULTS)
	$(BIN)/vistrials visualize $(RESULTS)/demo/baseline/seed0 --frames 6 --out $(RESULTS)/demo/baseline/seed0/strip.png --force

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

mutants: $(VENV)/.installed-dev
	$(BIN)/python -m tests.mutants $(WORD)

chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.chaos $(WORD)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/vistrials check

# benchmarks.propagation measures the weights of the demo's run.
bench: $(VENV)/.installed-dev demo
	for file in $(filter-out benchmarks/gpu.py benchmarks/real_clip.py benchmarks/tracking_video.py benchmarks/write_readme.py,$(wildcard benchmarks/*.py)); do $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done
	$(if $(CLIP),$(BIN)/python -m benchmarks.real_clip --clip $(CLIP),@echo 'benchmarks.real_clip and tracking_video need a clip: make bench CLIP=DIR')
	$(if $(CLIP),$(BIN)/python -m benchmarks.tracking_video $(dir $(firstword $(wildcard $(CLIP)/JPEGImages/*/*.jpg))) --weights $(RESULTS)/demo/baseline/seed0/weights.safetensors)

# In turn, since each wants the cores for itself: 15 to 20 minutes of two quiet ones.
bench-records: $(VENV)/.installed-dev
	for part in inference 'inference --scaling --rounds 2' 'training_step --rounds 2' 'attention_neck --repeats 2' loader 'backbones --repeats 5' write_readme; do \
		$(BIN)/python -m benchmarks.$$part || exit 1; done

bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.gpu --out $(RESULTS)/gpu.json

clean:
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find vistrials tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
