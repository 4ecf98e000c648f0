# Needs Python 3.11 or later, make, g++ (or clang++) and git; everything else comes from PyPI into .venv.

VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The first interpreter that is new enough; override with `make PYTHON=…`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: setup demo test test-fast test-boards lint bench clean

setup: $(VENV)/.stamp-full

demo: $(VENV)/.stamp-base
	$(BIN)/ohmspike demo

test: setup
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not slow"

# Nightly: bitstreams of the small boards against their budgets, gates of the iCE40; a quarter of an hour.
test-boards: setup
	OHMSPIKE_LONG_TESTS=1 $(BIN)/python -m pytest tests/boards tests/sim/test_gates.py

# Style, docstrings of the public API, and types (hdl apart: pyproject.toml says why).
lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m ohmspike.host.studies.bench

clean:
	rm -rf $(VENV)/.stamp-* build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or later found; name one with make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Order-only: the interpreter's own date must not trigger an installation.
$(VENV)/.stamp-base: pyproject.toml | $(BIN)/python
	@echo "installing Ohmspike and what it needs into $(VENV) (a minute or two the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.stamp-full: pyproject.toml | $(BIN)/python
	@echo "installing Ohmspike and what it needs into $(VENV) (a minute or two the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,boards,search,study,convert]'
	@touch $(VENV)/.stamp-base $@
