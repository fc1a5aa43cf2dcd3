# `make demo` shows MaskProp at work, `make test` runs all checks, `make docs` builds the
# documentation. Each first sets up `.venv`.
PYTHON ?= python3
DETECTRON2 ?= git+https://github.com/facebookresearch/detectron2.git@02b5c4e295e990042a714712c21dc79b731e8833
BIN := .venv/bin

.PHONY: demo test docs lint detectron2 clean

demo: detectron2
	$(BIN)/python demo/run_demo.py --output output/demo

# A process for each core, with one thread each; the tests of a file stay together. Without
# Detectron2 many are left out, so that no share of the lines can be asked for.
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

# setuptools < 81: Detectron2 imports pkg_resources, which later versions no longer have.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77,<81" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	touch $@

# Detectron2's set-up imports torch, hence after it and without build isolation. Where it cannot
# be had, what needs no Detectron2 still works; the next call tries again.
detectron2: .venv/.installed
	@test -e .venv/.detectron2 || \
	{ echo "Installing Detectron2 (builds for a few minutes) ..." && \
	  $(BIN)/python -m pip install --quiet --no-build-isolation "$(DETECTRON2)" && touch .venv/.detectron2; } || \
	{ echo "WARNING: Detectron2 could not be installed: only what works without it will run." >&2; \
	  test -z "$$MASKPROP_REQUIRE_DETECTRON2"; }

clean:
	rm -rf .venv output docs/_api docs/_build
