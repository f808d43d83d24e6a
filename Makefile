# Each target sets up what it needs in .venv, from locked requirements. `make` alone lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
BENCHMARKS := $(sort $(notdir $(basename $(wildcard benchmarks/bench_*.py))))
# grep -v: the list explains itself.
DEBIAN_PACKAGES = $(shell grep -v '^\#' requirements/debian.txt)
AS_ROOT = $(if $(filter 0,$(shell id -u)),,sudo)

# Where the environment forbids bytecode, each of the hundreds of processes that tests start compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE
# Where it is meant it is said: an editable install would leave compiled code beside its source, and in its place.
unexport HATCH_BUILD_HOOKS_ENABLE

.PHONY: help
help: ## list the targets
	@echo 'make TARGET [PYTHON=python3.13] [ARGS="…"], where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- use it ---------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.ready-demo ## a sidecar beside a small web app under load, until Ctrl-C (ARGS="--duration 30")
	@exec $(BIN)/chronoprof demo $(ARGS)

.PHONY: run
run: $(VENV)/.ready-demo .env ## the sidecar, with the settings and keys of .env (made on first use)
	@exec $(BIN)/chronoprof serve $(ARGS)

# No prerequisites but order: keys are made once and never again.
.env: | $(VENV)/.ready-demo
	$(BIN)/chronoprof keys --write $@

# Containers run as a user of their own, so the files are readable; the directory keeps everybody else out.
secrets: ## the keys for docker-compose.yml, one file per role (made once)
	@mkdir -m 0700 $@
	@for role in admin read ingest; do \
	    printf 'chp_%s_%s\n' "$$role" "$$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >$@/$${role}_keys; \
	    chmod 0644 $@/$${role}_keys; \
	done
	@echo 'made $@/admin_keys, $@/read_keys and $@/ingest_keys'

# Apart from the keys, whose directory Kubernetes takes as it is. In hexadecimal digits a URL needs no escapes.
secrets/fleet: | secrets ## the database's password, and the URL with it, for the profile fleet (made once)
	@mkdir $@
	@od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >$@/database_password
	@printf 'postgresql://sidecar:%s@database/chronoprof\n' "$$(cat $@/database_password)" >$@/store
	@chmod 0644 $@/database_password $@/store
	@echo 'made $@/database_password and $@/store'

# --- work on it -----------------------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/.ready-dev ## the tests that need neither root nor Debian, with branch coverage
	$(BIN)/python -m pytest -m 'not system and not image' --numprocesses=2 --dist=worksteal --cov --cov-report=term $(ARGS)

.PHONY: test-system
test-system: $(VENV)/.ready-dev debian .debian/.ready ## the tests that need Debian's packages; installs them (with sudo unless root)
	$(BIN)/python -m pytest -m system $(ARGS)

.PHONY: image-check
image-check: DEBIAN_PACKAGES += $(shell grep -v '^\#' requirements/debian-image.txt)
image-check: $(VENV)/.ready-dev debian ## build the image without Docker, on a Debian of debootstrap's, and run it; needs root
	$(AS_ROOT) $(BIN)/python -m tests.system.building
	$(AS_ROOT) $(BIN)/python -m pytest -m image tests/system $(ARGS)

.PHONY: test-hosts
test-hosts: $(VENV)/.ready-dev ## the shim at full volume: a thousand forks, millions of calls, a sidecar frozen half a minute
	CHRONOPROF_TEST_SCALE=full $(BIN)/python -m pytest tests/hosts tests/client tests/process/test_gunicorn.py $(ARGS)

.PHONY: faults
faults: $(VENV)/.ready-dev debian ## prove that nothing is lost or doubled: kill -9, full disks, damaged files, lost answers
	CHRONOPROF_TEST_SCALE=full $(BIN)/python -m pytest tests/faults $(ARGS)

.PHONY: attacks
attacks: $(VENV)/.ready-dev debian ## prove that no one gets in: fuzzed requests, smuggling, slow clients, stolen paths
	CHRONOPROF_TEST_SCALE=full $(BIN)/python -m pytest tests/attacks tests/wire/test_hostile_bodies.py $(ARGS)

.PHONY: fleet-test
fleet-test: $(VENV)/.ready-dev debian ## prove that a fleet is exact: primaries, standbys, sidecars and lines lost under load
	CHRONOPROF_TEST_SCALE=full $(BIN)/python -m pytest tests/fleet tests/store/test_postgresql.py $(ARGS)

.PHONY: check
check: $(VENV)/.ready-dev ## lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: reference
reference: $(VENV)/.ready-dev ## write docs/http.md anew from the OpenAPI description
	$(BIN)/python -m tests.docs.http_reference

.PHONY: bench
bench: $(VENV)/.ready-dev ## every benchmark there is (NAME=bench_… for one)
	@test -n '$(BENCHMARKS)' || echo 'benchmarks/ holds no bench_*.py yet'
	@for name in $(or $(NAME),$(BENCHMARKS)); do \
	    echo "== $$name"; $(BIN)/python -m "benchmarks.$$name" $(ARGS) || exit 1; \
	done

.PHONY: bench-client
bench-client: $(VENV)/.ready-bench ## what the shim costs an app, beside its peers from PyPI (ARGS=--quick for a glance)
	$(BIN)/python -m benchmarks.bench_client $(ARGS)
	$(BIN)/python -m benchmarks.bench_client_end_to_end $(ARGS)

.PHONY: bench-server
bench-server: $(VENV)/.ready-dev .bench/.ready-debian .bench/.ready-statsd .bench/.ready-compiled ## what the sidecar does with a core, beside statsd, collectd and Pushgateway (ARGS=--quick)
	PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/.bench/compiled:$(CURDIR) $(BIN)/python -m benchmarks.bench_server $(ARGS)

.PHONY: bench-fleet
bench-fleet: $(VENV)/.ready-dev debian ## what a table that many sidecars share costs them and PostgreSQL (ARGS=--quick)
	$(BIN)/python -m benchmarks.bench_fleet $(ARGS)

.PHONY: bench-page
bench-page: $(VENV)/.ready-dev debian ## how long a person waits for the page, in a real Chromium (ARGS=--quick for a glance)
	$(BIN)/python -m benchmarks.bench_page $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.ready-dev debian ## pictures of the page in three widths, light and dark, in .bench/screenshots
	$(BIN)/python -m benchmarks.screenshots .bench/screenshots

.PHONY: build
build: $(VENV)/.ready-dev ## wheel and source distribution in dist/, checked
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

.PHONY: release
release: ## cut a release: its version, and what is unreleased under it and today's date (VERSION=1.2.0)
	@test -n '$(VERSION)' || { echo 'which one? make release VERSION=1.2.0' >&2; exit 1; }
	@! grep -qF '## [$(VERSION)]' CHANGELOG.md || { echo '$(VERSION) is in CHANGELOG.md already' >&2; exit 1; }
	perl -pi -e 's/^(__version__ = ).*/$$1"$(VERSION)"/' chronoprof_sidecar/__init__.py
	perl -pi -e "s/^## \[Unreleased\]\n/$$&\n## [$(VERSION)] - $$(date -u +%F)\n/" CHANGELOG.md

.PHONY: release-check
release-check: build ## whether dist/ may be published: version, changelog, tag, contents, metadata
	$(BIN)/python -m tests.release

.PHONY: lock
lock: $(VENV)/.ready-dev ## write requirements/*.txt anew from pyproject.toml (ARGS=--upgrade for newer releases)
	$(LOCK) --group build -o requirements/build.txt
	$(LOCK) --group build --group compile -c requirements/build.txt -o requirements/compile.txt
	$(LOCK) --extra dev -c requirements/compile.txt -o requirements/dev.txt pyproject.toml
	$(LOCK) --extra bench -c requirements/build.txt -c requirements/dev.txt -o requirements/bench.txt pyproject.toml
	$(LOCK) --extra server --extra fleet --extra speed -c requirements/dev.txt -o requirements/server.txt pyproject.toml
	$(LOCK) --extra demo --extra speed -c requirements/dev.txt -o requirements/demo.txt pyproject.toml

# One lock serves every platform and every Python from 3.11 on; the index is whatever pip is set up to use.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command 'make lock' $(ARGS)

.PHONY: clean
clean: ## remove .venv, caches and build products; keys, data and saves stay
	rm -rf $(VENV) .bench .debian .image build dist .coverage htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -maxdepth 1 -name '*__mypyc.*.so' -delete
	find chronoprof_sidecar -name '*.so' -delete
	find chronoprof_sidecar tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: debian
debian:
	@dpkg --status $(DEBIAN_PACKAGES) >/dev/null 2>&1 \
	|| { command -v apt-get >/dev/null || { echo 'this needs Debian or a relative of it' >&2; exit 1; }; \
	     $(AS_ROOT) apt-get update --quiet && \
	     $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $(DEBIAN_PACKAGES); }

# Unpacked, not installed: the packages would start services, and the machine stays as it is.
define UNPACK
	@command -v apt-get >/dev/null || { echo 'this needs Debian or a relative of it' >&2; exit 1; }
	rm -rf $(1) && mkdir -p $(1)
	$(AS_ROOT) apt-get update --quiet
	cd $(1) && apt-get download --quiet $$(grep -v '^\#' $(CURDIR)/$<)
	for package in $(1)/*.deb; do dpkg-deb --extract $$package $(1) && rm $$package || exit 1; done
	@touch $@
endef

.bench/.ready-debian: requirements/debian-bench.txt
	$(call UNPACK,.bench/debian)

.debian/.ready: requirements/debian-unpacked.txt
	$(call UNPACK,.debian)

# The package as it is in the image, by way of a source distribution: what is compiled is left beside its source.
.bench/.ready-compiled: pyproject.toml $(shell find chronoprof_sidecar -name '*.py') $(VENV)/.ready-dev | debian
	rm -rf .bench/compiled
	HATCH_BUILD_HOOKS_ENABLE=true $(BIN)/python -m build --no-isolation --outdir .bench/compiled
	cd .bench/compiled && $(abspath $(BIN))/python -m zipfile --extract *.whl .
	@touch $@

.bench/.ready-statsd: requirements/statsd/package-lock.json requirements/statsd/package.json
	@command -v npm >/dev/null || { $(AS_ROOT) apt-get update --quiet && \
	    $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends nodejs npm; }
	rm -rf .bench/statsd && mkdir -p .bench/statsd && cp $^ .bench/statsd
	cd .bench/statsd && npm ci --omit=optional --ignore-scripts --no-audit --no-fund
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo 'chronoprof-sidecar needs Python 3.11 or newer, which "$(PYTHON)" is not;' >&2; \
	    echo 'name another one, for example: make PYTHON=python3.13 $(MAKECMDGOALS)' >&2; exit 1; }
	@# Half a virtual environment would look whole to the next run.
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.ready-%: requirements/%.txt requirements/build.txt pyproject.toml | $(VENV)/.created
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/build.txt -r $<
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $@
