# Everything runs in .venv, which `make setup` fills from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help setup demo up test check lint format soak

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Install everything that demo, up and test need (about 2 GB on disk, CPU build of PyTorch)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Plethora needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Set PYTHON=python3.11."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): about 0.6 GB of downloads and 2 GB on disk with a CPU build of PyTorch."
	@echo "(Where your package index serves a CUDA build of torch it is about 5 GB; README.md says how to choose.)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP) ## The whole story, measured: train, register, assign, serve, flag, retrain, audit (ARGS="--exit --stack --quick")
	@$(BIN)/python -m examples.demo $(ARGS)

up: $(STAMP) ## Everything on this machine: dashboard, API, worker, gateway, engines
	@$(BIN)/python manage.py up $(ARGS)

test: $(STAMP) ## Every test
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## Format, lint, types, layers, Django's own checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py check
	@$(BIN)/python manage.py makemigrations --check --dry-run

check: lint test ## lint, then test: green before every commit

format: $(STAMP) ## Rewrite to the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

soak: $(STAMP) ## The long tests that `make test` leaves out
	@$(BIN)/python -m pytest -m soak $(ARGS)
