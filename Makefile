# Armillary for people with only Python and make. `make` lists what there is.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
BIN := .venv/bin
SCENARIO ?= openai-aws
OUT ?= out/$(SCENARIO)

.PHONY: help setup demo test lint format types docs-check bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Armillary needs Python 3.11 or newer, found $$($(PYTHON) --version 2>&1). Try: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: .venv/.stamp ## make .venv with the armillary command in it

demo: setup ## answer the built-in scenario and write its report
	@$(BIN)/armillary run $(SCENARIO) --out $(OUT)
	@echo "open $(OUT)/report.html in a browser"

test: setup ## run all tests
	@$(BIN)/python -m pytest

lint: setup ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## apply style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

types: setup ## check types
	@$(BIN)/mypy

docs-check: setup ## run every code block of the docs
	@$(BIN)/python -m pytest tests/project/test_docs.py

bench: setup ## run the benchmarks
	@for file in startup machine search validation; do $(BIN)/python benchmarks/$$file.py || exit 1; done

clean: ## remove what was made
	@rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache .hypothesis
