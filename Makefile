# make demo | make test | make check: each makes what it needs in .venv, nothing else is typed.

# The first interpreter that the embedded server runs under: Python 3.11 or 3.12.
PYTHON ?= $(firstword $(foreach name,python3 python3.12 python3.11,$(shell \
  $(name) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $(name))) python3)
VENV := .venv

BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
OHIF := tests/client/objects/ohif

.PHONY: demo test bench bench-quick check lint types deploy-check clean

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "The embedded server needs Python 3.11 or 3.12; run: make PYTHON=python3.11 demo"; exit 9; }
	$(PYTHON) -m venv $(VENV)

$(STAMP)-local: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local]'
	@touch $@

$(STAMP)-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(STAMP)-local

demo: $(STAMP)-local ## judge the phantom study in examples/ on a real Triton server
	$(BIN)/ichclient infer examples/phantom-sdh --out demo

$(STAMP)-ohif: $(OHIF)/package-lock.json $(STAMP)-dev ## what OHIF reads DICOM objects with
	cd $(OHIF) && $(CURDIR)/$(BIN)/npm ci --silent
	@touch $@

test: $(STAMP)-dev $(STAMP)-ohif ## every test, on real Triton
	$(BIN)/python -m pytest -q

bench-quick: $(STAMP)-dev ## a few ratios against their references, in two minutes
	$(BIN)/python -m benchmarks --quick

bench: $(STAMP)-dev ## the whole set with peers, in half an hour, for a machine that does nothing else
	$(BIN)/python -m benchmarks --install

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev
	$(BIN)/mypy

.venv-deploy/.stamp: deploy/requirements.txt
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

deploy-check: .venv-deploy/.stamp ## images, compose, Kubernetes, rules and dashboard, each by its own tool
	.venv-deploy/bin/python deploy/check.py

check: lint types test ## what has to be green before a change lands

clean:
	rm -rf $(VENV) .venv-deploy .venv-peers demo dist build
