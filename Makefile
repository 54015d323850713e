# Fairlead's tasks. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo serve check lint test bench lock clean

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install what is needed: .venv, and Debian packages when root

$(STAMP): requirements/dev.txt pyproject.toml scripts/setup
	@scripts/setup $(VENV)
	@touch $@

demo: setup ## Show a load balancer with real traffic (needs root)
	@$(RUN)/fairlead demo

serve: setup ## Run the service on 127.0.0.1:9876 (needs root)
	@$(RUN)/fairlead serve

check: lint test ## Run every check and every test

lint: setup ## Style, types and layers
	$(RUN)/ruff check fairlead tests benchmarks
	$(RUN)/ruff format --check fairlead tests benchmarks
	$(RUN)/mypy
	$(RUN)/lint-imports

test: setup ## The tests alone, two files at a time: most of them wait for somebody
	$(RUN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: setup ## Measure, and print a table (needs root)
	$(RUN)/python -m benchmarks

lock: ## Pin the dependencies again, hashes only
	uv pip compile -q --universal --generate-hashes --python-version 3.11 pyproject.toml -o requirements/runtime.txt
	uv pip compile -q --universal --generate-hashes --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt
	uv pip compile -q --universal --generate-hashes --python-version 3.11 requirements/keystone.in -o requirements/keystone.txt

clean: ## Remove what setup and the tests made
	rm -rf $(VENV) $(VENV)-keystone .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
