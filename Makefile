# Every target first makes .venv, when it is missing or what it depends on has changed.
# PYTHON=... names another Python 3.11 or newer; ARGS=... goes to the command behind a target.

BIN := .venv/bin
STAMP := .venv/.ready
# In the order of the folders: the long ones come early, so that no worker ends alone with one.
# Two workers a core: tests that wait for a server or a process leave it idle.
# They are forked from a process that has loaded torch and all of feilun.
WORKER := popen//python=$(BIN)/python tests/helpers/forked.py
PYTEST := $(BIN)/pytest --tx '4*$(WORKER)' --max-worker-restart 8 --dist loadscope \
	--no-loadscope-reorder

# With it every process, and there are thousands, would compile feilun anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo check test tests test-all torture bench bench-serving bench-evidence bench-flywheel bench-tasks bench-language docs pictures lint format clean clean-all
.DEFAULT_GOAL := help

help:
	@echo "make demo      turn the whole wheel on real reviews, then serve  (ARGS=--exit, ARGS='--lang zh')"
	@echo "make check     lint, types, and the tests that your changes can touch, in 90 seconds"
	@echo "make test      lint, types, layers and tests"
	@echo "make test-all  the same with the longer checks"
	@echo "make torture   kill servers under load and compare journals with the ledger  (KILLS=200)"
	@echo "make bench     measure and write docs/benchmarks.md"
	@echo "make bench-serving  the serving part of it alone, peers and all  (ARGS='--seconds 2')"
	@echo "make bench-tasks   the part of it on kinds of tasks alone"
	@echo "make bench-language  the part of it on language models; begun again it goes on"
	@echo "make bench-flywheel  the part of it that turns the wheel: 10 seeds, 5 turns, four data sets"
	@echo "make bench-evidence  measure what the audit, the gate and the forecasts are worth: docs/evidence.md"
	@echo "make docs      write docs/reference from the code"
	@echo "make pictures  take the guides' pictures of the console, in Chromium"
	@echo "make lint      lint, types, layers alone        make format    mend the format"
	@echo "make clean     remove what tests and demo left  make clean-all remove .venv too"

setup: $(STAMP)

# The first Python that is new enough and has venv; else python3, and setup.py says what is wrong.
$(STAMP): pyproject.toml constraints.txt scripts/setup.py
	@python="$(PYTHON)"; \
	for candidate in python3.11 python3.12 python3.13 python3; do \
		[ -n "$$python" ] && break; \
		"$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null && python="$$candidate"; \
	done; \
	"$${python:-python3}" scripts/setup.py
	@touch $@

demo: $(STAMP)
	@$(BIN)/feilun demo $(ARGS)

check: $(STAMP)
	$(BIN)/python scripts/check.py $(ARGS)

# Lint runs beside the tests: it keeps one core busy while the others wait.
test: $(STAMP)
	@$(MAKE) --no-print-directory --jobs 2 lint tests

test-all: $(STAMP)
	@$(MAKE) --no-print-directory --jobs 2 lint tests WHICH='-m "slow or not slow"'

tests: $(STAMP)
	$(PYTEST) $(WHICH) $(ARGS)

torture: $(STAMP)
	PYTHONPATH=tests:. $(BIN)/python -m torture --kills $(or $(KILLS),200) $(ARGS)

bench-serving: $(STAMP)
	$(BIN)/python -m benchmarks serving $(if $(ARGS),-- --peers all $(ARGS))

bench-evidence: $(STAMP)
	$(BIN)/python -m benchmarks.evidence $(ARGS)

bench-flywheel: $(STAMP)
	$(BIN)/python -m benchmarks.evidence flywheel $(ARGS)

bench-tasks: $(STAMP)
	$(BIN)/python -m benchmarks tabular entities recommendation forecasting similarity search-scale translation documents pretraining $(ARGS)

bench-language: $(STAMP)
	$(BIN)/python -m benchmarks --resume language teaching company documents pretraining $(ARGS)
	$(BIN)/python -m benchmarks --resume translation $(ARGS) -- --scratch mini --epochs 6

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(STAMP)
	$(BIN)/python scripts/reference.py

pictures: $(STAMP)
	$(BIN)/python scripts/pictures.py

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/circles.py

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf build dist feilun-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis
	find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +

clean-all: clean
	rm -rf .venv
