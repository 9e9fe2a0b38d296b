# The doors. Each sets up what it needs: a .venv in this tree, from the lock files, with Python 3.11+ and nothing else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := --require-hashes --no-compile --no-deps --only-binary :all: --progress-bar off --quiet
# Where Python is told not to keep what it compiled, every process would compile all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test test-full test-pure test-workers test-python check bench docs lock clean

setup: $(VENV)/run.stamp $(VENV)/native.stamp $(VENV)/dev.stamp

$(VENV)/venv.stamp:
	$(PYTHON) -c 'import sys; sys.exit("funcgate needs Python 3.11 or newer; say which with PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/venv.stamp locks/run.lock pyproject.toml
	$(BIN)/python -m pip install $(LOCKED) -r locks/run.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation --no-compile --quiet --editable .
	@touch $@

# The compiled halves of some modules, if there is a C compiler. Without one everything works, and takes longer.
$(VENV)/native.stamp: $(VENV)/run.stamp tools/native.py src/funcgate/gateway.py $(shell find src -name '*.pyx' -o -name '*.px[id]')
	$(BIN)/python tools/native.py
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp locks/dev.lock
	$(BIN)/python -m pip install $(LOCKED) -r locks/dev.lock
	@touch $@

$(VENV)/bench.stamp: $(VENV)/run.stamp locks/bench.lock
	$(BIN)/python -m pip install $(LOCKED) -r locks/bench.lock
	@touch $@

demo: $(VENV)/run.stamp $(VENV)/native.stamp
	$(BIN)/funcgate demo $(if $(ONCE),--once)

# Gateways are forked from one process that has imported them already; test-full starts each by its command.
test: $(VENV)/dev.stamp $(VENV)/native.stamp
	FUNCGATE_TEST_QUICK=1 $(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder

test-full: $(VENV)/dev.stamp $(VENV)/native.stamp
	$(BIN)/python -m pytest
	$(MAKE) test-workers

# Whatever goes through a real gateway, once more with several processes that carry calls.
test-workers: $(VENV)/dev.stamp $(VENV)/native.stamp
	FUNCGATE_TEST_QUICK=1 FUNCGATE_TEST_WORKERS=2 $(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder tests/flows tests/invariants

# All of them with another Python (PY=3.13), in an environment of its own beside .venv.
test-python:
	$(if $(PY),,$(error say which one: make test-python PY=3.13))
	$(MAKE) test VENV=.venv-$(PY) PYTHON=python$(PY)

# What the compiled halves take part in, once more without them.
test-pure: $(VENV)/dev.stamp
	FUNCGATE_TEST_QUICK=1 FUNCGATE_PURE=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile tests/unit/core tests/unit/masking tests/unit/stores tests/unit/recording tests/wire tests/unit/wire tests/flows tests/invariants

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy -p bench
	$(BIN)/mypy tools/docs.py tools/sizes.py tools/native.py
	$(BIN)/lint-imports
	$(BIN)/python tools/sizes.py

bench: $(VENV)/bench.stamp $(VENV)/native.stamp
	$(BIN)/python -m bench $(BENCH)

docs: $(VENV)/dev.stamp $(VENV)/native.stamp
	$(BIN)/python tools/docs.py

# Writes the lock files anew. Needs uv; only a maintainer who changes a dependency runs it.
lock:
	for name in run dev bench; do \
	  uv pip compile pyproject.toml --group build $$([ $$name = run ] || echo --group $$name) \
	    --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet -o locks/$$name.lock || exit 1; \
	done

clean:
	rm -rf .venv .venv-* .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
