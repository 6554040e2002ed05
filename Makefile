# What there is to do here. Each target makes what it needs; the first run of one takes a minute, later ones none.
#
#   make demo     the demo application, and its address        make docs     the documentation, in docs/_build/html
#   make test     everything that must pass                    make bench    the benchmarks (ARGS="--quick 1 5")
#   make prove    the same laws with many more examples        make clean    away with all that make made
#   make matrix   every way to leave and to shut down, on every server (12 minutes; ARGS="--quick --only daphne")
#
#   make lint, make types, make unit: parts of `make test`     make format   put the source in order
#
# PYTHON=/path/to/python3 chooses the interpreter (CPython 3.11 or newer); without it, one is looked for.
#
# `make help`, or `make` alone, shows these lines.

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --constraint constraints.txt --build-constraint constraints.txt
PINS := pyproject.toml constraints.txt
ARGS ?=

.PHONY: help demo test prove matrix docs bench lint types unit other-pythons format update-constraints clean

help:
	@sed -n '/^#   /s/^# //p' Makefile

demo: $(VENV)/.demo
	@$(BIN)/python -m demo $(ARGS)

test: $(VENV)/.dev
	@scripts/test-servers
	@$(MAKE) lint types docs unit other-pythons

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

# The two pure floors are small and hold the promises: every branch of them is run.
unit: $(VENV)/.dev
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)
	$(BIN)/coverage report --include='*/endwell/wire/*,*/endwell/lifecycle/*' --fail-under=100

other-pythons: $(VENV)/.dev
	@scripts/test-other-pythons $(BIN)/python

prove: $(VENV)/.dev
	@scripts/test-servers
	$(BIN)/python -m pytest -m prove --ignore=tests/interleaving --timeout=3600 $(ARGS)
	$(BIN)/python -m pytest -m prove tests/interleaving --timeout=3600 -n 2
	$(BIN)/python -m pytest -m "hypothesis and not prove" --hypothesis-profile=prove --timeout=3600 -n 2 $(ARGS)
	@set -e; for target in fuzz/fuzz_*.py; do echo "== $$target"; $(BIN)/python $$target --seconds 60; done
	@scripts/test-oldest

matrix: $(VENV)/.dev
	@scripts/test-servers
	$(BIN)/python -m matrix --docs $(ARGS)

docs: $(VENV)/.dev
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env -b html docs docs/_build/html

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) .venvs .cache docs/_build build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	    .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------- environments

# One environment with two levels: what the demo needs, and what working on endwell needs. A stamp each.

$(VENV)/.demo: $(PINS) | $(BIN)/python
	@echo "installing what the demo needs"
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(PINS) | $(BIN)/python
	@echo "installing what working on endwell needs: less than a minute, the first time"
	@$(INSTALL) --editable '.[demo]' --group dev
	@touch $(VENV)/.demo $@

# The pip that a Python ships with may be too old for dependency groups.
$(BIN)/python:
	@python=$$(scripts/find-python) && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt pip

update-constraints:
	scripts/update-constraints
