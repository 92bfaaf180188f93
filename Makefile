# Needs Python 3.11 or newer and make. Everything is installed into .venv/ from the locked requirements.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
CODE := src tests benchmarks docs
WORKERS ?= 2
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs bench soak lock clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

demo: .venv/.runtime ## Start a demo workspace with 90 days of usage, in the foreground
	@exec $(BIN)/tally demo $(ARGS)

test: .venv/.dev ## Run every test
	@exec $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: .venv/.dev ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## Format the code and repair what lint can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: .venv/.dev ## Write the pages of docs/reference again
	@exec $(BIN)/python docs/generate.py $(ARGS)

bench: .venv/.dev ## Measure speed (BENCH_EVENTS sets the volume)
	@exec $(BIN)/python -m benchmarks $(ARGS)

soak: .venv/.dev ## Run the long tests of trust
	@exec $(BIN)/python -m benchmarks.soak $(ARGS)

# Settings of this machine's pip and uv must not reach the files.
LOCK := env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header $(UPGRADE)

lock: ## Lock the requirements again (needs uv; UPGRADE=--upgrade takes newer versions)
	$(LOCK) pyproject.toml requirements/build.in --extra fonts -o requirements/runtime.txt
	$(LOCK) pyproject.toml requirements/build.in --extra dev -c requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove what the other targets made; never your data
	rm -rf .venv .make dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "Python's venv module is incomplete; on Debian install the package python3-venv." >&2; exit 1; }

.venv/.runtime: requirements/runtime.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv/ …" >&2
	@$(INSTALL) --require-hashes -r requirements/runtime.txt
	@$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv/ …" >&2
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@ .venv/.runtime
