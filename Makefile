# samesay: `make demo` shows it, `make test` proves it, `make help` lists the rest.
# On Linux without a GPU, `TORCH_INDEX=https://download.pytorch.org/whl/cpu make setup` avoids gigabytes of CUDA.
TORCH_INDEX ?=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
# Many tests wait for servers or disks; each process that runs tests starts databases of its own, so not too many of them.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal
TORCH_OPTION := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-fast check format bench bench-train soak openapi clean

help:  ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	  { echo "samesay needs Python 3.11 to 3.13 as '$(PYTHON)'; install it, or name yours: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 || \
	  { echo "a C compiler is missing; on Debian and Ubuntu: apt-get install gcc, on macOS: xcode-select --install"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# One pip command with every extra a target needs: torch must be resolved together with what depends on it.
$(STAMPS)/demo: $(VENV)/bin/python pyproject.toml
	@echo "installing what the demo needs (a few minutes at the first time)"
	@$(PIP_INSTALL) $(TORCH_OPTION) -e '.[cpu,train]'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test: $(VENV)/bin/python pyproject.toml
	@echo "installing what the tests need (a few minutes at the first time)"
	@$(PIP_INSTALL) $(TORCH_OPTION) -e '.[cpu,train,postgres,test]'
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/demo

setup: $(STAMPS)/test  ## Make .venv with all that demo and tests need

demo: $(STAMPS)/demo  ## Train on the samples, import, answer and serve (ONCE=1: answer and exit)
	@$(BIN)/samesay demo $(if $(ONCE),--once)

serve: $(STAMPS)/demo  ## Serve ./data on http://127.0.0.1:8765
	@$(BIN)/samesay serve

test: $(STAMPS)/test  ## Run all tests, several at a time (ARGS='tests/unit -k word')
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: $(STAMPS)/test  ## Run the tests that take seconds
	@$(BIN)/python -m pytest $(PARALLEL) -m 'not slow' $(ARGS)

check: $(STAMPS)/test  ## Lint, formatting, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m compileall -q app benchmarks index migrations model samesay tests
	@$(BIN)/lint-imports

format: $(STAMPS)/test  ## Put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMPS)/test  ## Measure speed and quality (SAMESAY_BENCH_DATA: folder of public data sets)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-train: $(STAMPS)/test  ## Measure what the trainer reaches on public data (an hour or two; ARGS='--only banking77 --seeds 1')
	@$(BIN)/python -m benchmarks train $(ARGS)

soak: $(STAMPS)/test  ## Load a server for ten minutes, swap a hundred snapshots: flat memory, right answers (ARGS='--minutes 1')
	@$(BIN)/python -m benchmarks.soak $(ARGS)

openapi: $(STAMPS)/test  ## Write docs/openapi.json anew
	@$(BIN)/samesay openapi --out docs/openapi.json

clean:  ## Remove caches, not .venv and not data
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
