# The tasks of this repository. `.ci/run` calls the same ones.

# Where cargo puts what it builds.
export CARGO_TARGET_DIR ?= target

# The tests that wait (for servers, for alerts) are many and idle: twelve at once, however few the cores.
TEST_THREADS ?= 12

# How Docker Compose is called: `docker-compose` for version 1.
export COMPOSE ?= docker compose

# Images are built stage by stage as they are needed, by an old Docker and docker-compose 1.29 too.
export DOCKER_BUILDKIT ?= 1
export COMPOSE_DOCKER_CLI_BUILD ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-kube demo-docker lab lab-down lab-program image test quick sim differential model-check bench servers check-rules lint build fuzz mutants

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Play the whole story on a real Prometheus and Alertmanager (DEMO_STAY=1 keeps it running)
	@tests/servers/install.sh demo & servers=$$!; \
	cargo build --bin bellwether --no-default-features; built=$$?; \
	wait $$servers && [ $$built -eq 0 ]
	@$(CARGO_TARGET_DIR)/debug/bellwether demo

demo-kube: servers ## Tell on a real control plane how workers come, leave when idle, are replaced, and stay
	REQUIRE_REAL=1 cargo test --features killpoints --test it -- chain:: life:: --nocapture --test-threads 1

demo-docker: servers ## Tell on real containers how work brings a worker, and how its end takes one away (needs root)
	REQUIRE_REAL=1 cargo test --features killpoints --test it -- lab::load:: --nocapture --test-threads 1

lab: ## Bring up a whole k3s cluster with all that docs/lab.md shows, in Docker (COMPOSE=docker-compose for version 1)
	compose/make-env
	cd compose && $(COMPOSE) up --detach --build

lab-down: ## Remove the lab again, with its workers and all that it kept
	compose/down

image: ## Build Bellwether's image, bellwether:VERSION, from the sources
	docker build --tag bellwether:$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1) .

lab-program: # what the tests of the lab make Bellwether's image around
	tests/lab/program

test: servers check-rules lab-program ## Run every test, on the real servers too (REQUIRE_REAL=1: no server may be missing)
	cargo test --features killpoints -- --test-threads=$(TEST_THREADS)

quick: ## Run the pure tests only: under a minute once built
	cargo test --no-default-features --lib --test rooms

sim: ## Play simulated hours full of faults (SEEDS=300 FROM=1), and tell the story of what breaks
	cargo test --test sim

differential: servers ## Put pods by chance to our rules and to the real scheduler (CASES=10000 FROM=1), and print a table
	CASES=$(or $(CASES),10000) FROM=$(or $(FROM),1) cargo test --features killpoints --test it -- differential:: --nocapture

model-check: ## Go through more orders of what can happen to the claim than `test` does: minutes
	cargo test --lib model_check -- --include-ignored --nocapture

fuzz: ## Run every fuzz target (RUNS=10000000, ONLY="body config"); needs nightly and cargo-fuzz
	fuzz/run.sh

mutants: ## Break the guard code in every small way: does a test notice? (ONLY="policy alert"); hours
	@cargo mutants --version >/dev/null 2>&1 || { echo "first: cargo install cargo-mutants --locked" && exit 1; }
	tests/mutants.py $(ONLY)

bench: ## Measure (ONLY=group for one group, SOAK_SECONDS=600) and write target/bench/results.json
	cargo bench --bench bench -- $(ONLY)

servers: ## Install the real servers into the user's cache: no root, no service
	tests/servers/install.sh all

check-rules: servers ## Check rules/ and alertmanager/ with both promtools and both amtools
	tests/servers/check-rules.sh

lint: ## Check the format, and clippy with every feature set
	cargo fmt --check
	cargo clippy --all-targets --no-default-features -- -D warnings
	cargo clippy --all-targets --features killpoints -- -D warnings

build: ## Build the program for use
	cargo build --release --bin bellwether
