# What a newcomer needs: `make report`, then `make test`. Windows and conda: README.md.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help venv report quick lab test lint clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 16

venv: ## the set-up alone: .venv with the pinned dependencies
	@$(PYTHON) scripts/setup_venv.py

report: venv ## run the notebooks against real servers and write the report
	@$(BIN)/workbench report

quick: venv ## the same at the smallest samples, in a few minutes
	@$(BIN)/workbench report --quick

lab: venv ## open the notebooks in JupyterLab
	@$(BIN)/workbench lab

test: venv ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: venv ## ruff, mypy --strict, the import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

clean: ## remove what these commands made, but not the reports
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
