# make demo     a virtual environment, Lamina in it, and a first network trained on the bundled digits
# make test     the tests                         make lint types mutate    what reads the code
# make trust    kills, full disks, mutations, in full numbers; docs/trust.md
# make learn    the published figures (an hour)   make peers bench          against other libraries, in .venv-peers

PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
TORCH := $(shell grep '^torch==' constraints.txt)
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
CORES ?= auto
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test trust learn lint format types mutate peers bench capabilities wheel clean

help:
	@grep '^# make' Makefile | cut -c3-

demo: $(VENV)/.installed-core
	$(BIN)/lamina fit digits

# Processes, each with one thread, beat one process with all threads: nearly every test is smaller than a thread's start.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest -n $(CORES) --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)

# Kills, full disks, mutations and the like in full numbers; make test has a share of each.
trust: $(VENV)/.installed-dev
	TRUST=full OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest -n $(CORES) --maxprocesses 8 --dist worksteal \
		-m "not learn and not peer" --override-ini timeout=3600 $(PYTEST_ARGS) $$($(BIN)/python tools/trust.py tests); \
	status=$$?; $(BIN)/python tools/trust.py && exit $$status

learn: $(VENV)/.installed-dev
	MPLBACKEND=agg $(BIN)/python -m pytest -m "slow or learn" --override-ini timeout=7200 $(PYTEST_ARGS)
	$(MAKE) capabilities

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

mutate: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutate.py $(MUTATE_ARGS)

capabilities: $(VENV)/.installed-dev
	$(BIN)/python tools/capabilities.py

wheel: $(VENV)/.installed-dev
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist .

peers: $(PEERS)/.installed
	OMP_NUM_THREADS=1 $(PEERS)/bin/python -m pytest -m peer -n $(CORES) --maxprocesses 8 $(PYTEST_ARGS)

bench: $(PEERS)/.installed
	@for file in benchmarks/*.py; do case $$file in */_*) ;; *) echo "== $$file"; $(PEERS)/bin/python $$file || exit 1;; esac; done

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# torch goes first, by itself: with it in place and in the constraints, nothing that follows moves it.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lamina needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt $(TORCH)
	touch $@

$(VENV)/.installed-core: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.installed-core

# torchvision and timm ask for another torch: --no-deps, and tests/torchvision_cpu.py lets them be imported beside a CPU build.
$(PEERS)/.installed: pyproject.toml constraints.txt peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP_INSTALL) -c constraints.txt $(TORCH)
	$(PEERS)/bin/python $(PIP_INSTALL) -c constraints.txt -e ".[dev]" -r peers.txt
	$(PEERS)/bin/python $(PIP_INSTALL) --no-deps torchvision==0.28.0 timm==1.0.31
	touch $@
