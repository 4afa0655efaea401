# `make setup` once; every other target does it where it is missing. `make` lists the targets.

PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$each"; break; }; done)
# The index that torch comes from; https://download.pytorch.org/whl/cpu has builds without CUDA.
TORCH_INDEX ?=
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
DEMO := .demo
LEARN := .learn
# One thread a process: tiny models are faster so, and the original's losses repeat bit by bit.
export OMP_NUM_THREADS ?= 1

# How many processes run tests side by side; `make test WORKERS=0` runs them in one.
WORKERS ?= logical
SIDE_BY_SIDE = --numprocesses $(WORKERS) --dist worksteal
# `parity and not long` leaves out what other cases stand for.
PARITY ?= parity
ELSEWHERE = gpu or parity or environments or learn or whole

heading = printf '\n== %s\n\n'

.DEFAULT_GOAL := help
.PHONY: help setup demo learn test search check parity clients whole format docs snapshots wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## make .venv with everything that is needed

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; name one with PYTHON=..." >&2; exit 1; }
	@echo "installing into $(VENV), which takes some minutes the first time" >&2
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
		$$(grep '^torch==' constraints.txt)
	@$(BIN)/python -m pip install -qq -c constraints.txt -e ".[runtime,verify,dev]"
	@touch $@

demo: setup ## migrate a TRL script, train the result, compare it with TRL
	@rm -rf $(DEMO) && mkdir $(DEMO) && cp fixtures/before/trl/sft_minimal.py $(DEMO)/
	@$(heading) "1 of 3  migrate: the new script, and what became of every argument"
	@cd $(DEMO) && $(BIN)/mint-migrate sft_minimal.py
	@$(heading) "2 of 3  run: the new script trains on the bundled runtime, with a tiny random model"
	@cd $(DEMO) && $(BIN)/mint-migrate run sft_minimal_mint.py --tiny
	@$(heading) "3 of 3  verify: TRL and the new script side by side, from the same start"
	@cd $(DEMO) && $(BIN)/mint-migrate verify sft_minimal.py

test: setup ## run the test suite, except what is marked parity, whole or gpu
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

search: setup ## run the property tests on newly drawn examples
	$(BIN)/python -m pytest -m "hypothesis and not ($(ELSEWHERE))" --hypothesis-profile search $(SIDE_BY_SIDE)

learn: setup ## make a tiny base, teach it with SFT and GRPO on the runtime, print the table
	$(BIN)/python examples/learn.py --folder $(LEARN)

clients: setup ## drive the runtime with the published clients, each in an environment of its own
	$(BIN)/python -m pytest -m environments

parity: setup ## train every verifiable fixture under TRL and on the runtime
	$(BIN)/python -m pytest -m "$(PARITY)" $(SIDE_BY_SIDE)

check: setup ## lint, formatting, types, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m mint_migrate.tables.compile --check

whole: setup ## migrate the standard library, every installed package and thousands of drawn scripts
	$(BIN)/python -m pytest -m whole $(SIDE_BY_SIDE)

format: setup ## format the code and sort imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: setup ## write mappings/index.json, mappings/schema.json and docs/rules
	$(BIN)/python -m mint_migrate.tables.compile

snapshots: setup ## write fixtures/after and the other snapshots; read the diff afterwards
	$(BIN)/python -m pytest tests/migrator --snapshot-update

wheel: setup ## build sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

clean: ## remove what the other targets made, .venv excepted
	rm -rf $(DEMO) $(LEARN) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find migrator runtime tests -name __pycache__ -type d -prune -exec rm -rf {} +
