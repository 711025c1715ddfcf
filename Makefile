# Two commands for a newcomer: `make demo` and `make test`. Each does the set-up it needs, in .venv.
PYTHON ?= python3
EXTRAS ?= cpu,dev
CONSTRAINTS ?= -c constraints.txt
BIN := .venv/bin
# Processes that share the tests; each takes up to 4 GB.
WORKERS ?= 2

.PHONY: setup quick test test-faults test-deep card-trial lint format demo docs wheel clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	touch $@

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# What to run between two thoughts: lint, the house, the algebra of labels, the kernels on the host, one tiny run.
QUICK := tests/test_house.py tests/labels/test_table.py tests/labels/test_view_choice.py \
	tests/student/test_losses.py tests/student/test_cam.py tests/kernels/test_on_the_host.py tests/training/test_old_run.py

quick: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(QUICK)

test-faults: setup
	$(BIN)/python -m pytest -m faults -s tests/cli tests/training tests/views tests/cluster

test-deep: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m deep tests/engines

card-trial: setup
	PYTHONPATH=benchmarks $(BIN)/python -m card.trial

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: setup
	$(BIN)/ccd-fast demo --overwrite

# The documents as a site, build/site/index.html; every link and anchor is checked.
docs: .venv/.docs
	rm -rf build/docs && mkdir -p build/docs
	cp -r README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs benchmarks build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/.docs: .venv/.ready
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[docs]'
	touch $@

wheel: setup
	$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
