# Every verb works on a fresh machine: what it needs is installed into .venv first, once,
# and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
PYTEST_ARGS ?=
SERVE_ARGS ?=
BENCH_ARGS ?= quick
LAB_ARGS ?=

BIN := .venv/bin
PACKAGES := streams servers benchmarks notebooks tests

# Only a full run can cover everything.
COVERAGE := $(if $(strip $(PYTEST_ARGS)),,--cov)
# One process per core; the tests of a file share what it sets up.
WORKERS := $(if $(strip $(PYTEST_ARGS)),,-n auto --dist loadfile)

# pip builds this project in an environment of its own; older versions read the first name for it, newer ones the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help bench claims notebooks serve served peers test lint check microbench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

bench: .venv/run ## compare the variants and their strategies over real sockets; BENCH_ARGS="full", "slow-reader", ...
	$(BIN)/python -m benchmarks run $(BENCH_ARGS)

serve: .venv/run ## the server and its page on http://127.0.0.1:8090; SERVE_ARGS="--port 8091" and so on
	$(BIN)/python -m servers $(SERVE_ARGS)

test: .venv/test .venv/peers .venv/notebooks ## set up and run all tests; PYTEST_ARGS="-k name" runs some of them, without the coverage gate
	$(BIN)/python -m pytest $(WORKERS) $(COVERAGE) $(PYTEST_ARGS)

lint: .venv/test .venv/lint .venv/bench .venv/peers .venv/notebooks ## format check, ruff, mypy --strict, pyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(PACKAGES)
	$(BIN)/pyright --pythonpath $(BIN)/python

check: ## lint, then test
	$(MAKE) lint
	$(MAKE) test

served: .venv/peers ## measure the goals set for the server (throughput, memory, delay ...) beside its peers; SERVED_ARGS="firehose --quick"
	$(BIN)/python -m benchmarks.served $(or $(SERVED_ARGS),all)

notebooks: .venv/lab ## the lessons in JupyterLab
	$(BIN)/jupyter lab --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(LAB_ARGS) notebooks

peers: .venv/peers ## build and measure other stacks that stream the same (Java, Node, Python); PEERS_ARGS=--quick
	$(BIN)/python -m benchmarks.peers $(PEERS_ARGS)

claims: .venv/run ## put popular statements about streams to the test; CLAIMS_ARGS=reconnects for one of them
	$(BIN)/python -m benchmarks.claims $(CLAIMS_ARGS)

microbench: .venv/test .venv/bench ## measure the parts with pytest-benchmark; PYTEST_ARGS="-k name" runs some of them
	$(BIN)/python -m pytest benchmarks/micro $(PYTEST_ARGS)

clean: ## remove .venv, caches and build output
	rm -rf .venv .benchmarks .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'tokenweir needs Python 3.11 or later, and "$(PYTHON)" is not; name one with make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '"$(PYTHON)" cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

.venv/run: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

# One stamp per extra.
.venv/test .venv/lint .venv/bench .venv/peers .venv/notebooks .venv/lab: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(@F)]'
	@touch $@
