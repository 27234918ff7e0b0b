# Two commands: `make demo` and `make test`. Each builds .venv first if it is missing or stale.
PYTHON ?= python3.11
BIN := .venv/bin
.PHONY: demo test test-faults check fmt lock

demo: .venv/installed
	$(BIN)/tokensieve demo

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-faults: .venv/installed
	$(BIN)/python -m pytest -m slow

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint sql

fmt: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/installed
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,eval]'
	touch $@
