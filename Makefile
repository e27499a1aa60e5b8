# Every chore has one word. Each target does its own set-up: Python 3.11+ and make are enough.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What fetches the libraries of a lock; .ci/run has something quicker.
FROM_LOCK ?= $(PIP) --require-hashes
# More than there are processors: tests also wait, most of all for daemons that live in real time.
TEST_PROCESSES ?= 3
# The tests start a hundred processes, which would compile the program each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test coverage check bench million plans soak kill several outage verify-js messages screenshots format lock \
	wheel clean install uninstall deb test-systemd

demo: .venv/runs
	@echo 'The demo: a simulated gateway, a receiver and the daemon; a quarter of a minute.'
	$(BIN)/tracker demo

run: .venv/runs
	$(BIN)/tracker serve

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal

# The same, slower, with the lines that no test runs.
coverage: .venv/ready
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=90

# SIGKILL again and again, on each database: while it watches (2,000 tasks, 10 kills), and while it delivers (20 kills).
# Minutes; the tests run a short form of both.
kill: .venv/ready
	$(BIN)/python tests/kill_loop.py
	$(BIN)/python tests/kill_delivery.py

# Three daemons on one Postgres, 30,000 tasks: one is killed, one is frozen for a minute and woken. Then the same with one.
several: .venv/ready
	$(BIN)/python tests/several_daemons.py

# Ten minutes in which upstream, receiver and database are all away, as one daemon sees it: systemd never misses a sign of
# life from it, and afterwards it goes on.
outage: .venv/ready
	$(BIN)/python tests/outage.py

# One table of ratios, each measured against its alternative in the same run; less than ten minutes.
bench: .venv/ready
	$(BIN)/python -m bench

# One daemon with a million live tasks, on each database: its start, its memory, its pace, what a task costs. A quarter
# of an hour.
million: .venv/ready
	$(BIN)/python -m bench million

# Every question that the store can be asked, explained at a million tasks and ten million events. Some minutes.
plans: .venv/ready
	PLANS_TASKS=1_000_000 $(BIN)/python -m pytest -q tests/test_plans.py

# Ten minutes on each database with 50,000 live tasks that end and are replaced: nothing may grow.
soak: .venv/ready
	$(BIN)/python -m bench.soak

# The official JavaScript library, fetched from npm, takes what we sign and nothing else.
verify-js: .venv/ready
	$(BIN)/python tests/verify_js.py

# After a text of the pages has changed: each catalogue gets what is new, empty, and loses what is gone.
messages: .venv/ready
	$(BIN)/python tests/catalogues.py

# The pictures of the README, taken of a demo: the page in Chromium, light and dark, and the terminal.
screenshots: .venv/ready
	PYTHONPATH=tests $(BIN)/python -m browser.screenshots

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv/ready
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .

# The locks carry hashes and no index addresses; requirements.lock is what a server installs.
lock: .venv/ready
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

# The Python that a service runs on: the system's, whoever's else is in front of it in PATH.
SYSTEM_PYTHON ?= /usr/bin/python3
PREFIX ?= /opt/tracker

# As root. A second time it is an upgrade; the configuration and all data stay. With DESTDIR it only places files there.
install:
	PYTHON="$(SYSTEM_PYTHON)" DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" packaging/install.sh

# As root. The configuration, the database, its backups and the user stay.
uninstall:
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" packaging/uninstall.sh

# dist/tracker_VERSION_ARCHITECTURE.deb, which needs nothing but Debian 12; made on Debian 12.
deb:
	packaging/deb.sh dist

# A Debian 12 that boots in a container of its own, with the package in it, and everything that may happen to a service.
# As root, with debootstrap and systemd-nspawn; it says what is missing. Minutes; with BOOT=--brief three quarters of it.
test-systemd:
	$(SYSTEM_PYTHON) tests/boot/boot.py $(BOOT)

clean:
	rm -rf .venv dist .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# What the program runs with, and what builds it; the hashes of both are in the locks.
.venv/runs: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tracker needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	@echo 'Making an environment in .venv.'
	@$(PYTHON) -m venv .venv
	@awk '/^[a-z]/ { builds = /^(editables|hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } builds' requirements-dev.lock > .venv/builders.lock
	@echo "Installing the $$(grep -c == requirements.lock) libraries of requirements.lock, and seven that build; mostly within a minute."
	@$(FROM_LOCK) --requirement requirements.lock --requirement .venv/builders.lock
	@echo 'Installing tracker, from this folder.'
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# All that tests, checks and measures, in the same place.
.venv/ready: .venv/runs
	@echo "Installing what tests and checks ($$(grep -c == requirements-dev.lock) packages, a PostgreSQL among them); some minutes at most."
	@$(FROM_LOCK) --requirement requirements-dev.lock
	@touch $@
