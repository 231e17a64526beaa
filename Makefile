# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then command -v $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test matrix test-systemd lint generated bench constraints install clean

help:
	@echo "make demo    both products on a private Postgres and stand-ins of both services; leaves PDFs in demo-rides/"
	@echo "make test    the tests, on a real Postgres that they start and stop themselves"
	@echo "make matrix  the tests with every Python from 3.11 to 3.14 that is at hand"
	@echo "make test-systemd   timers, journal, watchdog and cron for real, in a container (root on Debian; minutes)"
	@echo "make lint    ruff, mypy, and each column that the code names is in the map of tables"
	@echo "make generated      unit files, manual page and completions of the repository, from the code"
	@echo "make bench   the measurements of docs/benchmarks.md (takes half an hour)"
	@echo "make constraints    the newest versions of all packages, with their hashes; KEEP=1 keeps those that still fit"

$(READY): pyproject.toml constraints-dev.txt
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 found; install one, or say where: make PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "make: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@# older ones write a start script that imports re: a third of an idle tick's time again
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(READY)

demo: $(READY)
	@$(BIN)/jobsync demo

test: $(READY)
	@$(BIN)/python -m pytest -q -n auto --dist worksteal

# each Python keeps an environment of its own
matrix:
	@failed=0; for p in python3.11 python3.12 python3.13 python3.14; do \
		if $$p -c '' >/dev/null 2>&1; then echo "== $$p"; \
			$(MAKE) --no-print-directory VENV=.venv-$${p#python} PYTHON="$$(command -v $$p)" test || failed=1; \
		else echo "== $$p: not on this machine"; fi; \
	done; exit $$failed

test-systemd: $(READY)
	@$(BIN)/python -m pytest -q -m systemd -n 2 --dist loadfile tests/deploy

generated: $(READY)
	@$(BIN)/python -m tests.generated

lint: $(READY)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/python -m tests.columns

bench: $(READY)
	@$(BIN)/python -m benchmarks

# constraints.txt is what a server installs, constraints-dev.txt the same and what development takes; both hold for
# every Python and platform that the packages themselves hold for.
LOCK := $(BIN)/uv pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make constraints' $(if $(KEEP),,--upgrade) --extra embedded --group build
constraints: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(LOCK) -o constraints.txt
	$(LOCK) -c constraints.txt --extra sandbox --extra notify --group dev -o constraints-dev.txt

clean:
	rm -rf .venv .venv-3.* .pytest_cache .mypy_cache .ruff_cache
