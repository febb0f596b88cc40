# Everything that people and CI run. Each target first sets up what it needs; nothing is installed outside .venv.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
CHROMIUM ?= $(firstword $(shell command -v chromium || command -v chromium-browser || command -v google-chrome))
export CHROMIUM
# Where byte code may not be kept, each of the processes that start here compiles all of its packages again.
export PYTHONDONTWRITEBYTECODE :=
SIZES ?= tiny mini

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--no-emit-package torch --no-annotate --custom-compile-command "make lock"
TRAINER := requirements/build.in requirements/torch.in --extra trainer
TORCH := $(shell sed -nE 's/.*"(torch==[^"]+)".*/\1/p' pyproject.toml)
SHELL := /bin/bash

.PHONY: help setup demo test test-all exhaustive slowest chaos check format bench gpu wheels toyworld docs browser lock

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Install a lock file into .venv: its packages, beside them PyTorch, whose build pip chooses, and then Darkroom itself.
# Byte code is left to the first import of each module: most modules of these packages are never imported.
define install
	@test -n "$(PYTHON)" || { echo "Darkroom needs Python 3.11 or newer: make $@ PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/pip || { echo "Making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@echo "Step 1 of 2: $(TORCH), the largest, and beside it the packages of requirements/$(1).txt"
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-compile --no-deps $(TORCH) & torch=$$!; \
		set -o pipefail; n=0; all=$$(grep -c == requirements/$(1).txt); \
		$(BIN)/pip install --disable-pip-version-check --progress-bar off --no-compile --no-deps \
		--require-hashes -r requirements/$(1).txt | while read -r verb what _; do case $$verb in \
		Collecting) echo "  $$((n += 1)) of at most $$all: $$what";; Requirement) : $$((n += 1));; \
		Installing) echo "  unpacking them";; esac; done; packages=$$?; wait $$torch && exit $$packages
	@echo "Step 2 of 2: Darkroom itself, and what PyTorch needs here; with CUDA several gigabytes"
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable . & darkroom=$$!; \
		$(BIN)/pip install --disable-pip-version-check --no-compile $(TORCH); torch=$$?; \
		wait $$darkroom && exit $$torch
endef

setup: .venv/.dev  ## Make .venv and install everything into it, for tests and checks too

.venv/.demo: requirements/demo.txt pyproject.toml
	$(call install,demo)
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml
	$(call install,dev)
	@touch .venv/.demo $@

lock: setup  ## Resolve requirements/*.txt anew from pyproject.toml
	$(BIN)/pip install --quiet uv==0.13.9
	$(LOCK) $(TRAINER) --extra ask --extra tensorboard --extra embedded --extra dev -o requirements/dev.txt
	$(LOCK) requirements/build.in -c requirements/dev.txt -o requirements/bot.txt
	$(LOCK) $(TRAINER) --extra ask --extra embedded -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) $(TRAINER) --extra ask --extra tensorboard -c requirements/dev.txt -o requirements/trainer.txt

demo: .venv/.demo  ## Run everything here: queue, store, worker and web chat
	@$(BIN)/darkroom demo

# Three processes keep two cores busy, since tests wait for other processes much of their time.
TEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: setup browser  ## Run the tests but for those marked slow or exhaustive
	$(TEST)

test-all: test  ## Run those, and then those marked slow
	$(TEST) -m "slow and not exhaustive"

exhaustive: setup browser  ## Run all tests there are, with many examples each: more than half an hour
	$(TEST) -m ""

slowest: setup browser  ## Run the tests of `make test`, and list the ten slowest
	$(TEST) --durations=10

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

wheels: setup  ## Put what `make gpu` needs beside PyTorch into wheels/, for Python 3.12 on Linux x86-64
	mkdir -p wheels && $(BIN)/python -m tests.bench.needs > wheels/needs.txt
	$(BIN)/pip download --quiet --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
		--platform manylinux2014_x86_64 --dest wheels -r wheels/needs.txt

# The bare machine has a Python with PyTorch, and no network. Nothing is installed into that Python.
gpu:  ## On a bare GPU machine, within 8 minutes: does training and drawing run rightly, and how quickly? Kept in gpu.jsonl
	$(PYTHON) -m pip install --quiet --no-index --no-deps --no-compile --target build/gpu --upgrade --find-links wheels \
		-r wheels/needs.txt
	PYTHONPATH=build/gpu $(PYTHON) -m tests.bench.gpu --minutes 8 --size $(or $(SIZE),sd15) --out $(or $(OUT),gpu.jsonl)

toyworld: setup  ## Remake the base model that ships, going on where it was left
	$(BIN)/python -m research.toyworld.pretrain all --out build/toyworld

docs: setup  ## Make docs/commands.md and docs/settings.md anew
	$(BIN)/python -m docs_tools.reference docs

# The tests of the web page want a Chromium; an administrator's account may install Debian's.
browser:
	@test -n "$(CHROMIUM)" \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
			&& apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
		|| echo "There is no Chromium here, so the tests of the web page are skipped. CHROMIUM=path names one."
