# madlib: `make run` and `make test` do all their own set-up. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

.PHONY: help install run test lab site sync clean

help:
	@echo "make run      install, then run experiment 008 (preset quick) and print its verdict"
	@echo "make test     install, then run every test: notebooks, command line, reports"
	@echo "make lab      install, then open JupyterLab on the notebooks"
	@echo "make site     build every page from the records and notebooks: site/index.html"
	@echo "make sync     export the notebooks to madlib/, bring the start page up to date, clean them, write README.md"
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

# One process more than there are cores: some tests wait.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)") --dist loadfile --no-loadscope-reorder

lab: $(READY)
	$(BIN)/madlib lab

site: $(READY)
	$(BIN)/madlib site

sync: $(READY)
	$(BIN)/nbdev-export
	$(BIN)/jupyter execute --inplace nbs/start.ipynb
	$(BIN)/nbdev-clean
	$(BIN)/jupyter nbconvert --to markdown --no-input --log-level ERROR --stdout nbs/index.ipynb > README.md

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis site
