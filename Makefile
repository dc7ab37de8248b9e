# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# What they need beyond Rust and make comes from the package registries; apt is used only when something is missing and as root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Flags from outside take the place of those in .cargo/config.toml; the simulation needs this one.
ifdef RUSTFLAGS
export RUSTFLAGS += --cfg tokio_unstable
endif
ifdef RUSTDOCFLAGS
export RUSTDOCFLAGS += --cfg tokio_unstable
endif

# A command whose package has another name: command:package.
TOOLS_TEST := restic rclone openssl rsync sshd:openssh-server ssh:openssh-client
TOOLS_DEMO := restic

.PHONY: help demo test check build release tools-test tools-demo test-clients bench bench-smoke soak clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

tools-test:
	@scripts/install-tools $(TOOLS_TEST)

tools-demo:
	@scripts/install-tools $(TOOLS_DEMO)

build: ## Build the one binary, shardlift, for development
	cargo build --locked -p shardlift

release: ## Build the one binary, shardlift, for use
	cargo build --locked --release -p shardlift

demo: tools-demo build ## Move six real restic repositories to two new shards and check every one
	cargo run --locked -q -p integration-tests --bin demo

test: tools-test build ## Run all tests
	cargo test --locked --workspace

check: ## Formatting and lints, as CI sees them
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

test-clients: tools-test build ## A second, independent client (rustic; slow to build the first time)
	@scripts/install-crate rustic rustic-rs 0.11.4
	cargo test --locked -p integration-tests --test rustic -- --ignored --nocapture

bench: tools-test release ## Side by side with what one would use instead; target/bench/report.json, target/bench/move.svg
	@scripts/install-crate rustic-server rustic_server 0.4.4 || echo "rustic-server cannot be built here: it is left out"
	cargo run --locked --release -q -p integration-tests --bin bench
	cargo run --locked --release -q -p shardlift-planner --example planner_bench 100000 200 target/bench/planner.json
	cargo test --locked --release -q -p shardlift-shard a_million -- --ignored --nocapture
	cargo test --locked --release -q -p shardlift-shard a_large_shard -- --ignored --nocapture

bench-smoke: tools-test build ## The benchmark program in a small size, all parts: that it measures, not how fast anything is
	cargo test --locked -p integration-tests --test bench_smoke -- --nocapture

soak: tools-test build ## Crash tests, moves under kill -9, model and simulation, many times as long; SOAK_ROUNDS=n, FLIPS=n, SEEDS=n
	SHARDLIFT_SOAK_ROUNDS=$${SOAK_ROUNDS:-500} cargo test --locked --release -p shardlift-store -- --nocapture
	SHARDLIFT_CHURN_FLIPS=$${FLIPS:-40} cargo test --locked -p integration-tests --test churn -- --nocapture
	PROPTEST_CASES=$${CASES:-3000} cargo test --locked -p shardlift-migration simulation
	SHARDLIFT_MODEL_BOUND=large cargo test --locked --release -p shardlift-sim -- --nocapture
	SHARDLIFT_SIM_SEEDS=$${SEEDS:-5000} cargo test --locked -p shardlift-simulation no_seed -- --nocapture

clean: ## Remove all that was built
	cargo clean
