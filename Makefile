# Each target does all of its own set-up: Python 3.11 or later, make and pip are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint bench fuzz random captures stability clean tools

# A newcomer's first command ends well whenever the runs completed, whatever the stacks did (status 1).
run: $(STAMP)
	@$(BIN)/mbtest run $(ARGS); status=$$?; if [ $$status -eq 1 ]; then \
		echo "some stacks failed: see the report"; exit 0; fi; exit $$status

test: $(STAMP) tools lint
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

fuzz: $(STAMP)
	$(BIN)/python -m benchmarks.fuzz_wire

# Ten thousand random runs of the reference endpoint without boxes, in none of which a rule may be broken.
random: $(STAMP)
	MBTEST_EXAMPLES=$(or $(N),10000) $(BIN)/pytest tests/observe/rules/test_reference.py -k without_boxes

# One capture for each rule that breaks it, for other tools to be held against.
captures: $(STAMP)
	$(BIN)/python -m tests.observe.rules.captures results/breaches

# Two hundred times each, with all processors kept busy: hours for all of them, minutes for a case.
stability: $(STAMP)
	$(BIN)/python -m benchmarks.stability $(or $(ARGS),'payload.*' 'fail.*' 'infinite.*')

# Debian packages that some tests want; without root, or elsewhere, those tests say what they miss.
tools:
	@if ! command -v tshark >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		(apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tshark) \
		>/dev/null 2>&1 || echo "tshark could not be installed; the tests that need it say so"; fi

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) results dist build *.egg-info
