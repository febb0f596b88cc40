# Everything that people and CI run. Each target first sets up what it needs; nothing is installed outside .venv.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
CHROMIUM ?= $(firstword $(shell command -v chromium || command -v chromium-browser || command -v google-chrome))
export CHROMIUM
SIZES ?= tiny mini

.PHONY: help setup demo test chaos check format bench toyworld docs browser

help:  ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/.ready  ## Make .venv and install everything into it

.venv/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Darkroom needs Python 3.11 or newer: make setup PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[trainer,tensorboard,embedded,dev]'
	@touch $@

demo: setup  ## Run everything here: queue, store, worker and web chat
	@$(BIN)/darkroom demo

test: setup browser  ## Run all tests, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

chaos: setup  ## Mistreat a deployment two hundred times while people use it, and check what became of their jobs
	$(BIN)/python -m tests.chaos --faults 200

check: setup  ## Lint and check types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup  ## Put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## Time what people wait for; with SCRIPTS=DIR PHOTOS=DIR [SIZES=sd15] trainings beside diffusers', too
	$(BIN)/python -m tests.bench
	$(if $(SCRIPTS),$(BIN)/python -m tests.bench.peers --scripts $(SCRIPTS) --photos $(PHOTOS) $(SIZES:%=--size %))

toyworld: setup  ## Remake the base model that ships, going on where it was left
	$(BIN)/python -m trainer.toyworld.pretrain all --out build/toyworld

docs: setup  ## Make docs/commands.md and docs/settings.md anew
	$(BIN)/python -m bot.reference docs

# The tests of the web page want a Chromium; an administrator's account may install Debian's.
browser:
	@test -n "$(CHROMIUM)" \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
			&& apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
		|| echo "There is no Chromium here, so the tests of the web page are skipped. CHROMIUM=path names one."
