# Leadwell: every command a newcomer needs. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check format docs serve bench lock wheel clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

demo: $(VENV)/.ready ## the main job on a made world: data to decisions, with a table and an HTML report
	@$(BIN)/leadwell demo

# One worker a core; the tests of a file stay together, because they share what they made.
test: $(VENV)/.ready-dev ## all tests, the slow ones too
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

test-fast: $(VENV)/.ready-dev ## the tests that need no server and no long training
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

check: $(VENV)/.ready-dev ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.ready-dev ## rewrite files in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.ready ## write the pages of docs/ that are made from the code
	@$(BIN)/python -m cli.reference
	@$(BIN)/python -m cli.reference_features
	@$(BIN)/python -m cli.reference_segments
	@$(BIN)/python -m cli.reference_stories

serve: $(VENV)/.ready ## the scoring API on http://127.0.0.1:3000 with the promoted bundle
	@$(BIN)/leadwell serve $(if $(LEADWELL_API_KEY),,--no-key)

bench: $(VENV)/.ready-dev ## speed beside the alternatives, both sides in one run; writes artifacts/bench.json
	@$(BIN)/python -m benchmarks.run

lock: $(VENV)/.ready-dev ## resolve the pinned dependencies anew
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-emit-index-url --upgrade -q -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev -c requirements.lock --universal --generate-hashes --no-header --no-emit-index-url -q -o requirements-dev.lock

wheel: $(VENV)/.ready-dev ## build the wheel into dist/
	@$(BIN)/python -m build --wheel

clean: ## remove the environment and everything made
	rm -rf $(VENV) artifacts build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Leadwell needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# A stamp per set of pins: the second run reuses the environment.
$(VENV)/.ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing pinned dependencies into $(VENV) (once, one to three minutes) ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps -e .
	@$(BIN)/python -c 'import lightgbm' 2>/dev/null || { echo "LightGBM needs the system's OpenMP library: install libgomp1 (Debian, Ubuntu) or libomp (macOS)."; exit 1; }
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo "Installing what tests and checks need ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.lock
	@touch $@
