# `make help` lists the targets. Every one of them sets up what it needs first.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PATH := $(PATH):/usr/local/go/bin
VENV := .venv
PYTHON_BIN := $(VENV)/bin/python
# What is passed on, as in: make demo ARGS="--for 30s --check"
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Make .venv and install what is missing (the other targets do this first)
	@scripts/setup

.PHONY: demo
demo: export GO_IS_OPTIONAL := true
demo: setup ## Run a small Raft cluster with its sidecars; ARGS="--for 30s --check" and others
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory build/raftnode; fi
	$(VENV)/bin/raft-exporter demo $(ARGS)

.PHONY: test
test: setup build/raftnode ## Run all tests, Go with the race detector, Python with its coverage
	@scripts/test

.PHONY: chaos
chaos: setup build/raftnode ## Break five real nodes in network namespaces in every way, for 15 minutes; kill a sidecar 100 times
	RAFT_EXPORTER_CHAOS=long $(VENV)/bin/python -m pytest tests/chaos tests/integration/test_restart.py $(ARGS)

.PHONY: lint
lint: setup ## Check style, types and the usual holes; Python, Go and Dockerfiles
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive raft_exporter
	$(VENV)/bin/hadolint Dockerfile observer/Dockerfile
	cd observer && unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .) && if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	cd observer && go vet ./...

# Of a dependency that is not known there, nothing is known: that is a failure, too.
.PHONY: audit
audit: setup ## Ask PyPI for known vulnerabilities of what is installed with the sidecar
	$(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement requirements.lock

.PHONY: bench
bench: setup build/raftnode ## Run every benchmark: a table and a JSON line each; ARGS goes to each
	@for file in bench/[!_]*.py; do module=bench.$$(basename "$$file" .py); echo "== $$module"; $(PYTHON_BIN) -m "$$module" $(ARGS); done

.PHONY: fmt
fmt: setup ## Format the code, and mend what the linter can mend
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format
	cd observer && "$$(go env GOROOT)/bin/gofmt" -w .

# The development lock holds the build's needs too, for the package itself is built without a network;
# hatchling asks for editables where a package is installed with -e. Versions move only with ARGS=--upgrade.
# Extras stay named: pip 23 looks for the newest coverage[toml] where only coverage is pinned.
COMPILE = $(VENV)/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-annotate --no-strip-extras --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

.PHONY: lock
lock: setup ## Write the three lock files anew; ARGS=--upgrade takes the newest versions
	$(PYTHON_BIN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables", sep="\n")' \
		| $(COMPILE) pyproject.toml - --group dev --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock
	$(PYTHON_BIN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(COMPILE) - --constraint requirements-dev.lock --output-file requirements-build.lock

.PHONY: image
image: export RAFT_EXPORTER_IMAGE := build
image: setup ## Build the container image on a base that is made here, and run it (root on Debian, two minutes)
	$(PYTHON_BIN) -m pytest tests/image $(ARGS)

.PHONY: docs
docs: setup ## Generate docs/metrics.md and docs/configuration.md from the code
	mkdir -p build
	$(PYTHON_BIN) -m raft_exporter.exposition > build/metrics.md
	$(PYTHON_BIN) -m raft_exporter.reference docs/every-key.yml > build/configuration.md
	mv build/metrics.md build/configuration.md docs/

.PHONY: rules
rules: setup ## Generate the promtool tests in rules/tests from tests/rules, and the PrometheusRule
	$(PYTHON_BIN) -m tests.rules.generate
	$(VENV)/bin/raft-exporter rules --format kubernetes > deploy/kubernetes/monitoring/prometheusrule.yaml

.PHONY: dashboards
dashboards: setup ## Generate the Grafana dashboards in grafana/dashboards from grafana/
	$(PYTHON_BIN) -m grafana

.PHONY: pictures
pictures: setup build/raftnode ## Make the README's pictures in docs/pictures from a real incident (eight minutes)
	$(PYTHON_BIN) -m pictures

.PHONY: clean
clean: ## Remove what was built and cached, but for .venv
	rm -rf build dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find raft_exporter tests bench grafana pictures -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# Go knows best whether its own build is up to date.
.PHONY: build/raftnode
build/raftnode: setup
	@mkdir -p build
	cd observer && go build -o ../build/raftnode ./cmd/raftnode
