# Every command of the project; continuous integration calls these verbatim.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CLIENTS := $(patsubst tests/clients/%/requirements.txt,.venv-clients/%/installed,$(wildcard tests/clients/*/requirements.txt))
STORE_TESTS := tests/store tests/limits tests/api/test_limits.py tests/api/test_guesses.py tests/docs/test_operations.py
GUIDED := xgrammar outlines
INSTALLED := $(VENV)/installed-$(shell echo '$(TORCH)' | tr -c 'a-zA-Z0-9.\n' '_')

.PHONY: install serve test test-all test-abuse test-browser test-clients test-stores test-guided check clean

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

test-all: check test test-abuse test-browser test-clients test-stores test-guided

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

# Chromium, driven from an environment of its own; Debian's package is installed where it is missing.
test-browser: install .venv-browser/installed
	$(BIN)/python tests/browser/chromium.py
	$(BIN)/ensue warm
	$(BIN)/python -m pytest tests/browser

.venv-browser/installed: tests/browser/requirements.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	touch $@

.venv-clients/%/installed: tests/clients/%/requirements.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	grep -v '^torch==' $< > $(@D)/requirements.txt
	if grep -q '^torch==' $<; then $(@D)/bin/python -m pip --disable-pip-version-check --quiet install '$(TORCH)'; fi
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --requirement $(@D)/requirements.txt
	touch $@

# What every backend of guided decoding keeps: the built-in one, and each extra in an environment of its own.
test-guided: install $(GUIDED:%=.venv-guided/%/installed)
	ENSUE_GUIDED_BACKEND=llguidance $(BIN)/python -m pytest tests/guided/test_conformance.py
	for name in $(GUIDED); do \
	    .venv-guided/$$name/bin/ensue warm && ENSUE_GUIDED_BACKEND=$$name .venv-guided/$$name/bin/python -m pytest \
	        tests/guided/test_conformance.py tests/product/test_guided_backends.py || exit 1; \
	done

.venv-guided/%/installed: pyproject.toml constraints.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	grep -v '^torch==' constraints.txt > $(@D)/constraints.txt
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install '$(TORCH)' --constraint $(@D)/constraints.txt
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[$*,test]' --constraint $(@D)/constraints.txt
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/architecture -q

clean:
	rm -rf $(VENV) .venv-browser .venv-clients .venv-guided .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
