# `make` alone lists the targets. Everything installs into .venv.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub("%", "NAME", $$1); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Herald needs Python 3.11 or newer as '$(PYTHON)'; name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "python3 -m venv is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# pip checks every hash. The lock files are complete, so pip is told not to resolve anything: where a package is
# wanted with an extra, it would look at the newest release, which no hash covers.
# The checkout itself is linked in without fetching anything.
.venv/installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing Herald into .venv (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing the development tools into .venv (once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: install
install: .venv/installed-dev ## install Herald and the development tools into .venv

.PHONY: run
run: .venv/installed ## start everything on this machine: API, both consumers, local inbox
	@exec $(BIN)/herald run

.PHONY: lint
lint: .venv/installed-dev ## format check, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: .venv/installed-dev ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: .venv/installed-dev ## resolve the dependencies again into the three lock files
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --extra tracing -c requirements.txt \
		pyproject.toml -o requirements-tracing.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --extra dev --extra tracing \
		-c requirements-tracing.txt pyproject.toml -o requirements-dev.txt

COVERAGE := $(BIN)/coverage

.PHONY: test
test: lint test-unit test-simulation test-integration test-faults ## lint, types, imports, and all tests with their coverage gates

# What the rules are worth without any service: most of them must be held by tests that take seconds.
.PHONY: test-unit
test-unit: .venv/installed-dev ## unit tests alone, and their coverage gates
	@rm -f .coverage .coverage.*
	$(BIN)/pytest tests/unit --cov --cov-report= -q
	$(COVERAGE) report --include='src/domain/*,src/application/*' --fail-under=95
	@echo "Coverage of all by unit tests alone, in per cent (at least 90):"
	$(COVERAGE) report --format=total --fail-under=90

# Unmeasured: nothing is covered here that the unit tests must not cover too, and measuring triples the time.
.PHONY: test-simulation
test-simulation: .venv/installed-dev ## thousands of random histories, days of many messages; HERALD_HISTORIES=100000 for more
	$(BIN)/pytest tests/simulation -q

# Unmeasured: measuring takes processes a third longer, and what only these tests reach is little. They mostly wait,
# for brokers, time-outs and processes: four or five at a time keep two cores busy. Integration by class, since a
# contract over Kafka has many tests; a file of faults has a broker of its own.
.PHONY: test-integration
test-integration: .venv/installed-dev ## real processes, brokers and browsers
	$(BIN)/pytest tests/integration -n 5 --dist loadscope -q

.PHONY: test-faults
test-faults: .venv/installed-dev ## real processes and brokers, killed, frozen, cut off; the drill and its saboteurs
	$(BIN)/pytest tests/faults -n 4 --dist loadfile -q

ARGS ?=
.PHONY: bench
bench: .venv/installed-dev ## measure Herald beside floors and peers, a quarter of an hour; ARGS=--help tells more
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-charts
bench-charts: .venv/installed-dev ## draw the charts and README's figures from benchmarks/results
	@$(BIN)/python -m benchmarks.report

.PHONY: bench-growth
bench-growth: .venv/installed-dev ## how costs grow, a chart each; ARGS=--save keeps them
	@$(BIN)/python -m benchmarks growth $(ARGS)

bench-%: .venv/installed-dev ## one section of it, such as bench-produce; ARGS="--rounds 9" for more rounds
	@$(BIN)/python -m benchmarks $* $(ARGS)
