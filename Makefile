# The commands of this repository; the README explains them.
HOST ?= @local
VENV := .venv
BIN := $(VENV)/bin

# uv, or the newest Python that is found; PYTHON=/path/to/python3 takes that one.
PYTHON ?=
ifeq ($(PYTHON),)
UV := $(shell command -v uv 2>/dev/null)
PYTHON := $(shell for name in python3.14 python3.13 python3.12 python3.11 python3.10; do \
    for python in $$name /opt/homebrew/bin/$$name /usr/local/bin/$$name; do \
    if $$python -c '' 2>/dev/null; then echo $$python; exit; fi; done; done)
endif

MINUTES ?= 30

# The slowest tests are named, so that it is noticed what a change costs.
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile --durations=20

# For the tests that take any Mac: the one that HOST names, if it does, else a stand-in.
MAC = $(if $(filter-out file,$(origin HOST)),--host=$(HOST)) $(YES) $(if $(KEEP),--keep=$(KEEP))

.PHONY: help demo deploy drift test test-weekly acceptance contracts soak bench pictures lint format clean

help:
	@echo 'make demo      boot a stand-in Mac, deploy to it over SSH, twice (Linux, root)'
	@echo 'make deploy    deploy to this Mac, or to HOST=@ssh/macmini.lan'
	@echo 'make drift     say which hosts of HOST a deploy would change, and why; fails when one would'
	@echo 'make test      run the tests'
	@echo 'make test-weekly'
	@echo '               run the exhaustive, slow tests, and steps that another test of each run takes too'
	@echo 'make acceptance'
	@echo '               see that it all works, on a stand-in Mac or HOST=@ssh/macmini.lan YES=--yes-really;'
	@echo '               KEEP=DIR keeps what the Mac said'
	@echo 'make contracts see that macOS is as expected, on a stand-in Mac or HOST=@local YES=--yes-really;'
	@echo '               KEEP=DIR keeps what the Mac said'
	@echo 'make soak      inject faults into a stand-in Mac for half an hour, or MINUTES=5 (Linux, root)'
	@echo 'make bench     measure what a deploy costs, on stand-in Macs (Linux, root)'
	@echo 'make pictures  draw the pictures of the documents, the terminals from a run on a stand-in Mac (Linux, root)'
	@echo 'make lint      run ruff, mypy, shellcheck and zizmor, and read the awk programs as a Mac does'

# What a deploy needs; and what tests and lint need besides.
$(VENV)/ready: pyproject.toml
	@echo 'Making the virtual environment in $(VENV)'
ifneq ($(UV),)
	@$(UV) sync --quiet --inexact
else
	@test -n '$(PYTHON)' || { echo 'There is no Python 3.10 to 3.14: brew install uv' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'On Debian or Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check .
endif
	@touch $@

$(VENV)/dev: $(VENV)/ready
ifneq ($(UV),)
	@$(UV) sync --quiet --inexact --group dev
else
	@$(BIN)/pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/pip install --quiet --group dev
endif
	@touch $@

demo: $(VENV)/ready
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.mac.demo

deploy: $(VENV)/ready
	$(BIN)/pyinfra $(HOST) deploy.py

# For cron and CI: prints nothing when nothing would change. --dry has pyinfra end before it changes anything; -y answers
# whether to go on without a host, and deploys/drift.py looks for changes in spite of it.
drift: $(VENV)/ready
	@log=$$(mktemp) || exit 1; trap 'rm -f "$$log"' EXIT; \
	    $(BIN)/pyinfra $(HOST) deploys/drift.py --dry -y 2>"$$log"; status=$$?; \
	    [ $$status -ne 1 ] || cat "$$log" >&2; exit $$status

test: $(VENV)/dev
	@sh tests/mac/prepare browser || true
	$(PYTEST) $(PYTEST_ARGS)

# What `make test` leaves out. With fewer at once: some of it is to end in time.
test-weekly: $(VENV)/dev
	@sh tests/mac/prepare || true
	$(PYTEST) -n 2 -m weekly $(PYTEST_ARGS)

acceptance: $(VENV)/dev
	@if [ "$$(uname -s)" = Linux ]; then sh tests/mac/prepare || true; fi
	$(BIN)/python -m pytest -v --durations=0 tests/acceptance $(MAC) $(PYTEST_ARGS)

contracts: $(VENV)/dev
	@if [ "$$(uname -s)" = Linux ]; then sh tests/mac/prepare || true; fi
	$(BIN)/python -m pytest -v tests/contracts $(MAC) $(PYTEST_ARGS)

soak: $(VENV)/dev
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

bench: $(VENV)/dev
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.bench

pictures: $(VENV)/dev
	@sh tests/mac/prepare browser
	@$(BIN)/python -m tests.pictures

lint: $(VENV)/dev
	@if [ "$$(uname -s)" = Linux ]; then sh tests/mac/prepare || true; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin --follow-imports silent --exclude tests/mac/ .
	$(BIN)/shellcheck -s sh tests/mac/prepare
	@# Each script with its libraries; what one of these sets and this script does not use is no fault.
	@sent=$$(mktemp -d) && trap 'rm -r "$$sent"' EXIT && $(BIN)/python -m files "$$sent" && \
	    $(BIN)/shellcheck -s sh --extended-analysis=false -e SC2034,SC2119,SC2120,SC2329 "$$sent"/*
	$(BIN)/shellcheck .ci/run
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/python -m pytest -q tests/files/test_lint.py -k awk

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
