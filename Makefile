# Every habit is one command; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
HASTE := -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15
export PYTHONWARNINGS ?= ignore::SyntaxWarning

.DEFAULT_GOAL := help
.PHONY: help setup compare test test-unit bench bench-quick debian chaos docs gallery lint format pins clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## create .venv with the pinned dependencies and pfltune itself

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/pip install --quiet uv
	@echo "Installing the dependencies into .venv (some minutes, once)"
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

compare: $(READY) ## compare FedPerfix with its baselines on real images (under 5 minutes)
	@$(BIN)/pfltune compare

test: debian test-unit ## run every test; what needs Debian's packages is among the slow ones
	$(BIN)/python -m pytest -q -m 'thorough or slow' -n 3 --dist loadgroup --no-loadscope-reorder

test-unit: $(READY) ## run the quick tests, on two cores
	$(BIN)/python -m pytest -q -m 'not slow and not thorough' -n 2 --dist loadgroup

debian: ## Chromium, LaTeX and PostgreSQL for tests that are skipped without them
	@{ command -v chromedriver && command -v pdflatex && ls /usr/lib/postgresql/*/bin/initdb; } > /dev/null 2>&1 || \
		(apt-get $(HASTE) update -qq && apt-get $(HASTE) install -y -qq --no-install-recommends \
			chromium chromium-driver texlive-latex-base texlive-latex-recommended postgresql) > /dev/null 2>&1 || \
		echo "No Chromium, LaTeX or PostgreSQL, and they cannot be installed here: the tests that need them are skipped"

bench: $(READY) ## run all benchmarks (half an hour); writes results/benchmarks.json and docs/speed.md
	$(BIN)/python tests/benchmarks/run.py

bench-quick: $(READY) ## run every benchmark once and small, to see that it works
	$(BIN)/python tests/benchmarks/run.py --quick

chaos: $(READY) ## kill comparisons over and over, in every way; a table of what they survived (an hour)
	$(BIN)/python tests/chaos/long.py --seeds 10 --kills 8

docs: $(READY) ## build the documentation into site/, without the internet; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

gallery: $(READY) ## draw the figures of docs/gallery.md anew, by the commands that it shows (half an hour)
	$(BIN)/python docs/gallery.py

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy platform/pfltune methods

format: $(READY) ## put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: $(READY) ## renew constraints.txt from what .venv holds
	$(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable > constraints.txt

clean: ## remove the environment and all caches (not results/)
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
