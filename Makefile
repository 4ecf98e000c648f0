# Needs Python 3.11 or later, make, g++ (or clang++) and git; everything else comes from PyPI into .venv.

VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
PYTEST := $(BIN)/python -m slipcover -m pytest -n $(JOBS) --dist loadfile
COVERAGE := $(BIN)/python tests/support/coverage.py .coverage.json

# The first interpreter that is new enough; override with `make PYTHON=…`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: setup demo test test-fast test-boards test-random test-nir coverage lint docs bench package release clean

setup: $(VENV)/.stamp-full

demo: $(VENV)/.stamp-base
	$(BIN)/ohmspike demo

# What of the code was run is counted on the way, which costs nothing that can be measured, and is said at the end.
test: setup
	$(PYTEST) --durations=10
	@$(COVERAGE)

test-fast: setup
	$(PYTEST) -m "not slow" --durations=10
	@$(COVERAGE)

# Of the last tests: every file, with the lines that none of them reached.
coverage:
	@$(COVERAGE) --lines

# Nightly: bitstreams of the small boards and two families of FPGAs against their budgets, gates of the iCE40, digests of all RTL, the CRC of the link, the live page on a board; half an hour.
test-boards: setup
	OHMSPIKE_LONG_TESTS=1 $(BIN)/python -m pytest tests/boards tests/sim/test_gates.py tests/hdl/test_digests.py \
		tests/hdl/test_families.py tests/formal/test_bad_frames_formal.py tests/host/test_live.py

# Nightly: 200 chips at the ends of their fields and 60 others, model against both forms of the RTL, the state of the
# benches after every program, and long sessions of the link; three quarters of an hour.
test-random: setup
	OHMSPIKE_LONG_TESTS=1 $(BIN)/python -m pytest -n $(JOBS) tests/sim/test_random_chips.py \
		tests/hdl/test_core.py tests/hdl/test_link.py

# Exported graphs in Norse, on noisy bars and on MNIST; Norse brings PyTorch, 200 MB to 5 GB.
test-nir: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[simulators]'
	OHMSPIKE_LONG_TESTS=1 $(BIN)/python -m pytest tests/host/test_nir_simulators.py

# Style, docstrings of the public API, and types (hdl apart: pyproject.toml says why).
lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

# Tables that programs write into the docs, then the site, into build/site.
docs: setup
	$(BIN)/python -m ohmspike.chip.reference
	$(BIN)/python -m ohmspike.sim.analog.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	$(BIN)/python -m ohmspike.boards.records

# Speeds, and how they compare with the last ones of such a machine; a line is added to the history.
bench: setup
	$(BIN)/python -m ohmspike.host.studies.bench --history benchmarks/speed.jsonl

# Wheel and source distribution of what is committed, with everything that belongs into them.
package: setup
	$(BIN)/python -m pytest tests/test_package.py

# make release VERSION=0.2.0 cuts, builds, checks and tags; it pushes nothing.
release: setup
	$(BIN)/python .ci/release $(VERSION)

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
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,boards,search,study,convert,events,serve,docs,exchange]'
	@touch $(VENV)/.stamp-base $@
