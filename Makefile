# Every command of the project; continuous integration calls these verbatim.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/installed-$(shell echo '$(TORCH)' | tr -c 'a-zA-Z0-9.\n' '_')

.PHONY: install serve test test-all check bench clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(PIP) install '$(TORCH)' --constraint $(VENV)/constraints.txt
	$(PIP) install --editable '.[test]' --constraint $(VENV)/constraints.txt
	touch $@

serve: install
	$(BIN)/ensue warm
	$(BIN)/ensue serve

test: install
	$(BIN)/ensue warm
	$(BIN)/python -m pytest

test-all: check test

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture -q

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
