# Armillary for people with only Python and make. `make` lists what there is.
.DEFAULT_GOAL := help
# The first Python that runs and is new enough, or the one given: make PYTHON=/path/to/python3.12 demo
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SCENARIO ?= openai-aws
OUT ?= out/$(SCENARIO)

.PHONY: help setup dev demo test lint format types docs-check figures bench fresh-kernels clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

# What the command needs. The tools of the tests and checks come with .venv/.dev, when they are asked for.
.venv/.base: pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Armillary needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is not,none was found)" >&2; \
	  echo "hint: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "making .venv with $$("$(PYTHON)" --version)" >&2; "$(PYTHON)" -m venv --clear .venv; }
	@echo "installing the armillary command" >&2
	@$(PIP) install --editable .
	@touch $@

.venv/.dev: .venv/.base
	@echo "installing what tests and checks need" >&2
	@$(PIP) install --editable '.[dev]'
	@touch $@

setup: .venv/.base ## make .venv with the armillary command in it

dev: .venv/.dev ## the same, with what tests and checks need

demo: setup ## answer the built-in scenario and write its report
	@$(BIN)/armillary run $(SCENARIO) --out $(OUT)
	@echo "open $(OUT)/report.html in a browser"

test: dev ## run all tests
	@$(BIN)/python -m pytest

lint: dev ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: dev ## apply style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

types: dev ## check types
	@$(BIN)/mypy

docs-check: dev ## run every code block of the docs
	@$(BIN)/python -m pytest tests/project/test_docs.py

figures: setup ## draw the pictures of the docs anew, and write the pages of measured accuracy
	@$(BIN)/python tools/draw_docs.py >/dev/null

bench: setup ## print work per second and peak memory of what has to be fast
	@for file in startup machine search validation fabric network serving portfolio; do $(BIN)/python benchmarks/$$file.py || exit 1; done

fresh-kernels: ## throw away the machine code that numba keeps
	@find src -name '*.nb[ic]' -delete

clean: ## remove what was made
	@rm -rf .venv out dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
