# make demo    set up, then the main job on a small simulated scan
# make test    set up with the test tools, then every test (lint and types are tests too)
# make setup   only set up (.venv)
# make lint    the fast checks alone
# make bench   all benchmarks, tables in benchmarks/results
# make notebooks   run the notebooks' sources and store them with their pictures
# make clean   remove caches, build and demo output; .venv stays
#
# PYTHON=python3.12 chooses the interpreter of .venv, ARGS=... goes to the command that runs.

PYTHON ?=
export PYTHON
python := .venv/bin/python
benchmarks := $(filter-out __init__ common peers phantoms soak cpu_% gpu_% pyramid_% register_% series_% view_data,$(basename $(notdir $(wildcard benchmarks/*.py))))

# Tests that look at drawn pixels need a screen; where there is none, a virtual one.
screen = $(if $(DISPLAY),,$(shell command -v xvfb-run >/dev/null && \
	echo 'xvfb-run -a -s "-screen 0 1400x1000x24 +extension GLX"'))

.PHONY: setup setup-test demo test lint bench notebooks clean

setup:
	@tools/setup.sh run

setup-test:
	@tools/setup.sh test

demo: setup
	@.venv/bin/hipct demo $(ARGS)

# loadfile: tests of one file share its simulated scan; more than 8 workers only cost memory.
test: setup-test
	$(screen) $(python) -m pytest -q -n logical --maxprocesses 8 --dist loadfile $(ARGS)

lint: setup-test
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	.venv/bin/lint-imports

bench: setup-test
	@for name in $(benchmarks); do \
		echo "== $$name"; $(python) -m benchmarks.$$name $(ARGS); code=$$?; \
		case $$name-$$code in *-0) ;; gpu-2) echo "no GPU: left out" ;; view-2) echo "no display: left out" ;; *) exit 1 ;; esac; \
	done

notebooks: setup-test
	$(python) -m jupytext --to ipynb notebooks/*.py
	$(screen) $(python) -m pytest -q -o filterwarnings=default --nbmake --overwrite notebooks/*.ipynb

clean:
	rm -rf build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find hipct tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
