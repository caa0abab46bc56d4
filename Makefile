# make run   set-up, then the main job on the embedded data
# make server Prefect's server, the deployments of prefect.yaml and a worker, until Ctrl-C
# make test  set-up, then every test that needs no extra service, but for the longest
# make long  those that take minutes each; CI runs them too
# make faults kills parts of a run at random moments; FAULTS=200 SEED=1 LANES=2, an hour or so
# make bench both sides of every figure about speed, in one table
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# torch's builds for Linux bring CUDA along: 5 GB, and pip needs room to unpack.
NEEDED_GB ?= 9
# Tests check the shapes of tensors at every call; what is timed does not.
UNCHECKED := -o addopts="--strict-markers --strict-config --import-mode=importlib"

.PHONY: run server test quick long faults bench check format setup clean

run: $(READY)
	@$(BIN)/headstart run

# exec: a signal to make's child reaches the program itself.
server: $(READY)
	@exec $(BIN)/headstart server

# Two processes: much of a test is waiting for DVC, Prefect or a kill. Threads that wait for each
# other without spinning leave the cores to the other process.
test long quick: export OMP_WAIT_POLICY = PASSIVE

test: $(READY)
	@$(BIN)/python -m pytest tests -m "not long and not benchmark" --numprocesses 2 --dist loadfile

long: $(READY)
	@$(BIN)/python -m pytest tests -m long --numprocesses 2 --dist loadfile

FAULTS ?= 200
SEED ?= 1
LANES ?= 2
faults: $(READY)
	@$(BIN)/python -m tests.faults.init $(BIN)/python -m tests.faults.many --faults $(FAULTS) --seed $(SEED) --lanes $(LANES) --rows faults.jsonl
	@$(BIN)/python -m tests.faults.table faults.jsonl

bench: $(READY)
	@$(BIN)/python -m pytest tests/benchmarks -m benchmark $(UNCHECKED) $(BENCH)

quick: $(READY)
	@$(BIN)/python -m pytest tests -m "not slow and not long and not benchmark"

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

setup: $(READY)

clean:
	@rm -rf $(VENV)

# Runs again only when the project's requirements changed.
$(READY): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "make: $(PYTHON) not found, needed Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: found $$("$(PYTHON)" --version 2>&1), needed Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	@free=$$(df -Pk . | awk 'NR == 2 { print int($$4 / 1048576) }'); \
	  [ -x "$(BIN)/headstart" ] || [ "$$free" -ge "$(NEEDED_GB)" ] || { \
	  echo "make: found $$free GB free here, needed $(NEEDED_GB); make room, or set NEEDED_GB if you know better"; exit 1; }
	@echo "Setting up $(VENV): PyTorch and all else, once; a few minutes and about 6 GB."
	@[ -x "$(BIN)/python" ] || "$(PYTHON)" -m venv "$(VENV)" || { \
	  rm -rf "$(VENV)"; \
	  echo "make: no virtual environment could be made in $(VENV): the disk is full, or venv is missing (on Debian, install python3-venv)"; exit 1; }
	@"$(BIN)/python" -m pip install --disable-pip-version-check --editable '.[dev]' \
	    --constraint constraints.txt 2>$(VENV)/setup.log || { \
	  free_kb=$$(df -Pk . | awk 'NR == 2 { print $$4 }'); \
	  if [ "$$free_kb" -lt 1024 ] || grep -qi 'no space left' $(VENV)/setup.log; then \
	    echo "make: the disk is full; make room and run the same command again"; \
	  elif grep -qiE 'connection|retries|resolution|no matching distribution|timed out|proxy' $(VENV)/setup.log; then \
	    echo "make: the package registry does not answer or lacks a package; check the network and pip's settings ($(VENV)/setup.log), then run the same command again"; \
	  else cat $(VENV)/setup.log; fi; exit 1; }
	@touch $(READY)
