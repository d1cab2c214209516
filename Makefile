# Each target does its own set-up, into .venv; a second call does not install again.
# PYTHON=/path/to/python3.12 make test   uses another interpreter (3.11 or later).

.DEFAULT_GOAL := help
.PHONY: help quickstart test fast lint check bench docs serve wheel clean

MODERN := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c "$(MODERN)" 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two workers each with one thread: more threads than cores make torch slower, not faster.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

quickstart: $(VENV)/.installed ## the demonstration recipe: no network, no GPU, two minutes
	$(BIN)/lowres run quickstart

test: $(VENV)/.installed ## all tests, with coverage
	$(PYTEST) --cov --cov-report=term

fast: $(VENV)/.installed ## the tests that take seconds
	$(PYTEST) -m "not slow"

lint: $(VENV)/.installed ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint fast ## what a commit must pass: lint and the fast tests

bench: $(VENV)/.installed ## every benchmark, CPU, half an hour, into benchmarks/results/
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/all.py

docs: $(VENV)/.docs ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

serve: $(VENV)/.docs ## the documentation, on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

wheel: $(VENV)/.installed ## the package, into dist/
	$(BIN)/python -m build --outdir dist

clean: ## removes what make made; runs/ and the user's cache stay
	rm -rf $(VENV) site dist build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis

# The stamp is written last: an interrupted installation is done again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "lowres needs Python 3.11 or later: PYTHON=/path/to/python make" >&2; exit 2; }
	@echo "setting up $(VENV) with $(PYTHON) (some minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[offline,dev,onnx,ray,advisor]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(PIP) -e '.[offline,dev,onnx,ray,advisor,docs]'
	@touch $@
