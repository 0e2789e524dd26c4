# stead: `make demo` shows it, `make test` checks it. Each target makes .venv when it is missing; running twice is safe.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*)
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable
LINT = $(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache --no-logo

.PHONY: demo test check bench docs fuzz clean

demo: .venv/.demo  ## three hospitals on this machine: one question, one model, nothing leaves
	$(BIN)/stead demo $(ARGS)

test: .venv/.dev  ## everything that must hold
	$(LINT) && $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: .venv/.dev  ## style, types, floors, sizes: the fast part
	$(LINT) && $(BIN)/python -m pytest tests/arch

bench: .venv/.dev  ## one script per claim, quick sizes
	$(BIN)/python benchmarks/run_all.py --quick

docs: .venv/.dev  ## draw the pictures, write the reference, run the snippets, follow the links
	$(BIN)/python docs/pictures/draw.py && $(BIN)/python docs/reference/write_commands.py && $(BIN)/python -m pytest tests/docs

fuzz: .venv/.dev  ## ten minutes of bytes that are almost messages; finds go to the corpus
	$(BIN)/python tests/fuzz/messages.py --seconds 600

clean:  ## back to what git knows of
	rm -rf .venv build dist report.html .mypy_cache .ruff_cache .hypothesis && find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.demo: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[torch,demo]' && touch $@

.venv/.dev: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[dev]' && touch .venv/.demo $@
