# `make` lists the targets. What needs a fresh machine to be set up goes through ./control_env.sh.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lint types locks locks-check notebook jars-lock clean
.PHONY: drills drills-long drills-table drills-unprotected sbom audit
.PHONY: bench-batch bench-stream bench-load bench-scale bench-quality

BIN := .venv/bin
export PYTHONPATH := $(CURDIR)/code:$(CURDIR)
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.uv/bin:$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## bring libraries, tools and jars, once
	@./control_env.sh setup dev

demo: setup ## run all six jobs and end in a table of evidence
	@./control_env.sh demo

test: ## every check and every test
	@./control_env.sh test

check: setup lint types ## the fast part: format, lint, types, shell, tests without Spark
	python -m pytest -q tests/unit

format: setup ## write every file in the project's format
	ruff format .
	ruff check --fix .

lint: setup ## format, lint and shell, nothing written
	ruff format --check .
	ruff check .
	shellcheck -x control_env.sh docker/*.sh docker/*/*.sh requirements/lock.sh requirements/audit.sh .ci/run

types: setup ## mypy, strict
	mypy

locks: setup ## lock Python packages anew; pins stay (UPGRADE=1: newest of all)
	requirements/lock.sh write $(if $(UPGRADE),--upgrade)

locks-check: setup ## tell whether the lock files are what pyproject.toml asks for
	requirements/lock.sh check

notebook: setup ## run the notebook on this home and keep its figures
	python -m tests.notebooks

jars-lock: setup ## lock jars anew, from the versions in jars.py
	python -m streamforest.jars lock

bench-batch: ## seconds a job and rows/s against the plain implementation
	@./control_env.sh bench batch

bench-stream: ## rows/s through Kafka and latency of live predictions
	@./control_env.sh bench stream

bench-load: ## an hour under load, a day of backlog: memory, state, lag, nothing lost
	@./control_env.sh bench load

bench-scale: ## growth of time with rows
	@./control_env.sh bench scale

bench-quality: ## accuracy and macro-F1, cross-validated by whole users
	@./control_env.sh bench quality

drills: setup ## each drill once: kills, pauses, full disks, damages
	python -m pytest tests/drills

drills-long: setup ## the drills with ten times the readings and pauses of minutes
	python -m pytest tests/drills --long

drills-table: setup ## each drill once, and docs/drills.md from what held
	python -m pytest tests/drills --drills-table docs/drills.md

drills-unprotected: setup ## what each drill says without its protection, and docs/protections.md from that
	python -m tests.drills.protections

sbom: ## bill of materials (CycloneDX) of what is locked, on stdout
	@python -m streamforest.embedded.sbom

audit: setup ## known weaknesses of what is locked, else the age of the locks
	requirements/audit.sh

clean: ## remove environments and caches; data, models and predictions stay
	rm -rf .venv .venv-airflow .uv .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis spark-warehouse
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
