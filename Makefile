# Needs a Python >= 3.11 with venv, and a package index. Everything else is made here, in .venv.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Hundreds of processes are started from these sources: each would compile them anew where none may keep what it has.
export PYTHONDONTWRITEBYTECODE :=
# Links make key in processes of low priority. There is none below this one, so beside tests that count they have their
# share of the cores; at another they had a tenth of it, and keys that tests wait for came after a minute.
POLITELY := nice -n 19
.PHONY: demo test check test-long lint tests-read bench clean

demo: .venv/installed  ## a network on this machine: keys from photons, a file across, a report
	@$(BIN)/qanat demo $(ARGS)

test:  ## everything that CI runs
	@$(MAKE) --no-print-directory -j2 lint tests-read
	$(POLITELY) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not campaign" --durations=30

check:  ## the fast set
	@$(MAKE) --no-print-directory -j2 lint tests-read
	$(POLITELY) $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not campaign"

test-long: .venv/tested  ## campaigns: thousands of seeds
	$(POLITELY) $(BIN)/python -m pytest -m campaign

lint: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# While one core looks at the types: every worker of the tests reads what is compiled of them here.
tests-read: .venv/tested
	@$(BIN)/python -m pytest -qq --collect-only >/dev/null 2>&1 || true

bench: .venv/installed  ## speed against goals
	$(BIN)/qanat bench

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv here. On Debian: apt-get install -y python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@$(BIN)/python -m compileall -q -j 0 src
	@touch $@

.venv/tested: .venv/installed
	$(PIP) --editable ".[test]"
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache qanat-report
