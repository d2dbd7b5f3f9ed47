# make demo: install, then a sweep over the eleven mini datasets, its table and figure.
# make test: the tests. make check: linters, types, import rules. make bench: ratios measured side by side.
# make test-cluster: launches in processes of their own, clusters, servers, kills, pages in a browser, a wheel; CI, too.
# make test-lowest: the tests, without the slow ones, with the lowest versions that pyproject.toml admits.
# make test-newest: the same with the newest versions, as pip installs them where nothing is pinned.
# make abuse: bad inputs of every kind, each refused in one line; `make test` tries one in four.
# make chaos ROUNDS=20 SEED=1: kills at random moments; every cell must be there once, with the same numbers.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Bytecode is kept, whatever the environment says: else every process that a test starts compiles the project anew.
test test-cluster test-lowest test-newest abuse: export PYTHONDONTWRITEBYTECODE :=
# Two processes share the cores: a thread a core in each of them would wait for the others'.
test test-lowest test-newest: export OMP_NUM_THREADS := 1

.PHONY: demo test test-cluster test-lowest test-newest check bench abuse chaos format clean

demo: $(INSTALLED)
	$(BIN)/dualpt demo

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadgroup

test-cluster: $(INSTALLED)
	$(BIN)/pytest -m cluster --timeout=300

test-lowest test-newest: test-%: .venv-%/.installed
	.venv-$*/bin/pytest -n 2 --dist loadgroup -m 'not cluster and not slow'

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

abuse: $(INSTALLED)
	ABUSE_EVERY=1 $(BIN)/pytest tests/abuse

ROUNDS ?= 20
chaos: $(INSTALLED)
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (about two minutes with a warm package cache; torch is large) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv-lowest/.installed: constraints-lowest.txt
.venv-lowest/.installed: PINNED := --constraint constraints-lowest.txt
.venv-lowest/.installed .venv-newest/.installed: .venv-%/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check $(PINNED) --editable '.[dev]'
	@touch $@

clean:
	rm -rf build dist outputs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
