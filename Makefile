# `make demo` tracks real objects, `make demo-shapes` runs the tiny model on drawn ones, `make test`
# runs all checks, and `make docs` builds the documentation. Each of them sets up `.venv` first.
PYTHON ?= python3
DETECTRON2 ?= git+https://github.com/facebookresearch/detectron2.git@02b5c4e295e990042a714712c21dc79b731e8833
BIN := .venv/bin

.PHONY: demo demo-shapes test docs lint detectron2 clean

# Neither of the demos needs Detectron2.
demo: .venv/.installed
	$(BIN)/python demo/run_demo.py --output output/demo

demo-shapes: .venv/.installed
	$(BIN)/python demo/run_shapes.py --output output/demo_shapes

# One single-threaded process per core; loadfile runs the tests of a file in the same process, since
# they share fixtures. Without Detectron2 many tests are skipped, and coverage is not checked.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov \
		$$(test ! -e .venv/.detectron2 || echo --cov-fail-under=90)

# Built from scratch, with warnings as errors: a broken link fails.
docs: detectron2
	rm -rf docs/_api docs/_build
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto docs docs/_build/html

lint: detectron2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Detectron2 imports pkg_resources, which setuptools 81 removed.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77,<81" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	touch $@

# Detectron2's setup imports torch, so it is installed later and without build isolation. If this
# fails, everything that does not need Detectron2 still works, and the next call tries again.
detectron2: .venv/.installed
	@test -e .venv/.detectron2 || \
	{ echo "Installing Detectron2 (builds for a few minutes) ..." && \
	  $(BIN)/python -m pip install --quiet --no-build-isolation "$(DETECTRON2)" && touch .venv/.detectron2; } || \
	{ echo "WARNING: Detectron2 could not be installed. Only what works without it will run." >&2; \
	  test -z "$$MASKPROP_REQUIRE_DETECTRON2"; }

clean:
	rm -rf .venv output docs/_api docs/_build
