# Every command of the project; continuous integration calls these verbatim.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CLIENTS := $(patsubst tests/clients/%/requirements.txt,.venv-clients/%/installed,$(wildcard tests/clients/*/requirements.txt))
STORE_TESTS := tests/store
INSTALLED := $(VENV)/installed-$(shell echo '$(TORCH)' | tr -c 'a-zA-Z0-9.\n' '_')

.PHONY: install serve test test-all test-abuse test-clients test-stores check clean

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

test-all: check test test-abuse test-clients test-stores

# An attacked server, and an innocent request beside each attack.
test-abuse: install
	$(BIN)/ensue warm
	$(BIN)/python -m pytest tests/abuse

# Each client has an environment of its own, never the server's.
test-clients: install
	$(MAKE) --jobs 3 $(CLIENTS)
	$(BIN)/ensue warm
	$(BIN)/python -m pytest tests/clients

# On a real PostgreSQL and beside a real Redis, both temporary.
test-stores: install
	$(PIP) install --editable '.[test,postgres]' --constraint $(VENV)/constraints.txt
	$(BIN)/python tests/store_servers.py $(BIN)/python -m pytest $(STORE_TESTS)

.venv-clients/%/installed: tests/clients/%/requirements.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	grep -v '^torch==' $< > $(@D)/requirements.txt
	if grep -q '^torch==' $<; then $(@D)/bin/python -m pip --disable-pip-version-check --quiet install '$(TORCH)'; fi
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --requirement $(@D)/requirements.txt
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture -q

clean:
	rm -rf $(VENV) .venv-clients .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
