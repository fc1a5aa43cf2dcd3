# `make demo` tracks real objects, `make demo-shapes` runs the tiny model on drawn ones, `make test`
# runs all checks, `make docs` builds the documentation, and `make package` what goes to PyPI. Each
# of them sets up `.venv` first.
PYTHON ?= python3
BIN := .venv/bin
# What is never imported need not be compiled: installing is faster.
PIP := $(BIN)/python -m pip install --quiet --no-compile

.PHONY: demo demo-shapes test docs package lint detectron2 clean

# Neither of the demos needs Detectron2.
demo: .venv/.installed
	$(BIN)/python demo/run_demo.py --output output/demo

demo-shapes: .venv/.installed
	$(BIN)/python demo/run_shapes.py --output output/demo_shapes

# One single-threaded process per core; loadfile runs the tests of a file in the same process, since
# they share fixtures. Without Detectron2 many tests are skipped, and coverage is not checked. Tests
# start many processes: where Python is told to write no bytecode, each would compile all of PyTorch.
test: lint
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov \
		$$(test ! -e .venv/.detectron2 || echo --cov-fail-under=90)

# Built from scratch, with warnings as errors: a broken link fails.
docs: detectron2
	rm -rf docs/_api docs/_build
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs docs/_build/html

# Wheel and source archive in dist/.
package: .venv/.installed
	rm -rf dist build
	$(PIP) "build>=1.2,<2" "twine>=6,<8"
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

lint: detectron2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	# The types of numpy and PyAV for other Pythons differ.
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] == (3, 11))' || $(BIN)/mypy

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(PIP) -e .
	touch $@

.venv/.dev: .venv/.installed
	$(PIP) -e ".[dev]"
	touch $@

# Compiles nothing; DETECTRON2_OPTIONS=--compile does. If this fails, everything that does not need
# Detectron2 still works, and the next call tries again.
detectron2: .venv/.dev
	@test -e .venv/.detectron2 || \
	{ $(BIN)/maskprop install-detectron2 $(DETECTRON2_OPTIONS) && touch .venv/.detectron2; } || \
	{ echo "WARNING: Detectron2 could not be installed. Only what works without it will run." >&2; \
	  test -z "$$MASKPROP_REQUIRE_DETECTRON2"; }

clean:
	rm -rf .venv output docs/_api docs/_build build dist
