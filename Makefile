# madlib: `make run` and `make test` do all their own set-up. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

.PHONY: help install run test lab report sync clean

help:
	@echo "make run      install, then run experiment 008 (preset quick) and print its verdict"
	@echo "make test     install, then run every test: notebooks, command line, reports"
	@echo "make lab      install, then open JupyterLab on the notebooks"
	@echo "make report   build every report and runs/index.html from the records"
	@echo "make sync     export the notebooks to madlib/, clean them, write README.md"
	@echo "make clean    remove the environment and everything that can be built again"

# torch is pinned in constraints.txt. On Linux without a GPU its CPU build is smaller; see the README.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $@

install: $(READY)

run: $(READY)
	$(BIN)/madlib run 008 --preset quick

test: $(READY)
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/madlib lab

report: $(READY)
	$(BIN)/madlib report

sync: $(READY)
	$(BIN)/nbdev-export
	$(BIN)/nbdev-clean
	$(BIN)/jupyter nbconvert --to markdown --no-input --log-level ERROR --stdout nbs/index.ipynb > README.md

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis site
