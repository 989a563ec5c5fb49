# The commands of this repository; the README explains them. PYTHON may name another interpreter (3.10 or newer).
PYTHON ?= python3
HOST ?= @local
VENV := .venv
BIN := $(VENV)/bin

MINUTES ?= 30

# The slowest tests are named, so that it is noticed what a change costs.
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile --durations=20

.PHONY: help demo deploy drift test test-weekly soak bench pictures lint format clean

help:
	@echo 'make demo      boot a stand-in Mac, deploy to it over SSH, twice (Linux, root)'
	@echo 'make deploy    deploy to this Mac, or to HOST=@ssh/macmini.lan'
	@echo 'make drift     say which hosts of HOST a deploy would change, and why; fails when one would'
	@echo 'make test      run the tests'
	@echo 'make test-weekly'
	@echo '               run the exhaustive, slow tests'
	@echo 'make soak      inject faults into a stand-in Mac for half an hour, or MINUTES=5 (Linux, root)'
	@echo 'make bench     measure what a deploy costs, on stand-in Macs (Linux, root)'
	@echo 'make pictures  draw the terminal pictures of the README, from a run on a stand-in Mac (Linux, root)'
	@echo 'make lint      run ruff, mypy and shellcheck, and read the awk programs as a Mac does'

$(VENV)/ready: pyproject.toml
	@echo 'Making the virtual environment in $(VENV)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo '$(PYTHON) is older than 3.10: make PYTHON=/path/to/newer $(MAKECMDGOALS)'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo 'On Debian or Ubuntu: apt-get install python3-venv'; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/ready
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.mac.demo

deploy: $(VENV)/ready
	@test -f .env || { echo "HOMEBREW_USER=$$(id -un)" >.env; echo "Wrote .env: HOMEBREW_USER=$$(id -un)"; }
	$(BIN)/pyinfra $(HOST) deploy.py

# For cron and CI: prints nothing when nothing would change. --dry has pyinfra end before it changes anything; -y answers
# whether to go on without a host, and deploys/drift.py looks for changes in spite of it.
drift: $(VENV)/ready
	@log=$$(mktemp) || exit 1; trap 'rm -f "$$log"' EXIT; \
	    $(BIN)/pyinfra $(HOST) deploys/drift.py --dry -y 2>"$$log"; status=$$?; \
	    [ $$status -ne 1 ] || cat "$$log" >&2; exit $$status

test: $(VENV)/ready
	@sh tests/mac/prepare || true
	$(PYTEST) $(PYTEST_ARGS)

# What `make test` leaves out.
test-weekly: $(VENV)/ready
	@sh tests/mac/prepare || true
	$(PYTEST) -m weekly $(PYTEST_ARGS)

soak: $(VENV)/ready
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

bench: $(VENV)/ready
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.bench

pictures: $(VENV)/ready
	@sh tests/mac/prepare
	@$(BIN)/python -m tests.pictures

lint: $(VENV)/ready
	@if [ "$$(uname -s)" = Linux ]; then sh tests/mac/prepare || true; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/shellcheck -s sh tests/mac/prepare
	@# Each script with its libraries; what one of these sets and this script does not use is no fault.
	@sent=$$(mktemp -d) && trap 'rm -r "$$sent"' EXIT && $(BIN)/python -m files "$$sent" && \
	    $(BIN)/shellcheck -s sh --extended-analysis=false -e SC2034,SC2119,SC2120,SC2329 "$$sent"/*
	$(BIN)/shellcheck .ci/run
	$(BIN)/python -m pytest -q tests/files/test_lint.py -k awk

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
