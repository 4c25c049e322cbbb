# What there is to do here. `make` alone says it. Needs a Rust toolchain, make and a C compiler, nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# cargo-nextest is faster and its summary is better, but nobody has to have it.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

define say
@printf '\n==> %s\n' $(1)
endef

.PHONY: help check fmt-check clippy docs tests doctests test demo doc reference bench bench-check peers-check gates gates-accept supply packages semver fuzz image cluster cluster-shell cluster-down shell-master shell-slave integration soak clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

check: fmt-check clippy docs ## formatting, lints and documentation; warnings are errors

fmt-check:
	$(call say,'formatting')
	$(CARGO) fmt --all --check

clippy:
	$(call say,'lints')
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p farcall --lib -- -D warnings # without the feature that the examples ask for

docs:
	$(call say,'documentation')
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --lib --no-deps

test: check tests doctests demo ## everything: check, all tests, the code in the documentation, every example

tests:
	$(call say,'tests')
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace --no-fail-fast
else
	$(CARGO) test --workspace --all-targets --no-fail-fast
endif

doctests:
	$(call say,'code in the documentation and in README.md')
	$(CARGO) test --workspace --doc

# Built as the tests and the examples are, so that nobody waits for a second build; its times are those of a debug build.
demo: ## four nodes, every operation between them, one of them killed and brought back; under 30 s after the build
	$(call say,'demo')
	$(CARGO) run -p farcall-examples --bin demo

doc: ## the documentation, in your browser
	$(CARGO) doc --workspace --lib --no-deps --open

# A test holds them against the keys, and writes them when it is asked to.
reference: ## writes the tables of keys in the manual anew, from crates/farcall/src/config/keys.rs
	REFERENCE=write $(CARGO) test -p farcall --lib config::tests::reference

# Without the peers (PEERS=no) there is less to build; BENCH='--quick' and other arguments: see farcall-bench run --help.
# ERLANG=1 measures erpc between two Erlang nodes, too; they need Debian's erlang-base, or any other erl on the path.
BENCH ?=
ERLANG ?=
BENCH_IN := crates/farcall-bench$(if $(filter no,$(PEERS)),,/peers)
bench: ## what a remote call costs, beside a yardstick and other runtimes; an hour, let nothing else run (ERLANG=1: erpc, too)
ifeq ($(ERLANG),1)
	@command -v erl >/dev/null || { echo 'ERLANG=1 needs erl on the path: apt-get install --no-install-recommends erlang-base' >&2; exit 1; }
endif
	cd $(BENCH_IN) && $(CARGO) run --release -- run$(if $(filter 1,$(ERLANG)), --erlang) $(BENCH)

bench-check: ## lints and tests of the benchmarks, and a short run of them, which measures nothing
	$(call say,'benchmarks')
	cd crates/farcall-bench && $(CARGO) clippy --all-targets -- -D warnings
	cd crates/farcall-bench && $(CARGO) test --release
	cd crates/farcall-bench && timeout 300 $(CARGO) run --release -- run --quick

# Not in CI: it builds some five hundred crates of others, and what they do is not ours to break or to mend.
peers-check: ## builds the other runtimes that are measured and lets each answer a few calls; ten minutes
	$(call say,'peers')
	cd crates/farcall-bench/peers && $(CARGO) fmt --check && $(CARGO) clippy --all-targets -- -D warnings
	cd crates/farcall-bench/peers && $(CARGO) test --release

# Counted, not timed: it gives the same figures on a busy machine. Needs valgrind.
GATES := $(CARGO) run --quiet --profile gates -p farcall-gates --
gates: ## instructions and allocations per call, held against what was accepted; needs valgrind
	$(call say,'cost gates')
	$(GATES) check

gates-accept: ## accepts the counts of the source as it is; say why in the commit
	$(GATES) accept

# The crates themselves are fetched, as a build would; everything that they are held against is in the tree.
MANIFESTS := Cargo.toml crates/farcall-bench/Cargo.toml crates/farcall-proto/fuzz/Cargo.toml
supply: ## licences, sources, TLS stacks and known advisories of everything that is built in; needs cargo-deny 0.20
	$(call say,'supply chain')
	for manifest in $(MANIFESTS); do $(CARGO) fetch --quiet --locked --manifest-path "$$manifest"; done
	supply/check $(MANIFESTS)
	supply/test

# What would be published, as it would be: packed, unpacked and built from that. Nothing is uploaded.
PACKAGES := farcall-proto farcall-derive farcall farcall-cli
packages: ## packs every crate that is published, and builds it from its package
	$(call say,'packages')
	$(CARGO) publish --dry-run $(PACKAGES:%=-p %)

# What breaks whoever uses the public API fails, unless the version was counted up for it. Not in CI, because nothing is published
# yet: from the first release on, BASE is the last tag. cargo-semver-checks leaves out crates of macros, so it gets descriptions
# of theirs, as it has them made of the others: by a compiler that is told to pass for a nightly one.
SEMVER := target/semver
MACROS = RUSTC_BOOTSTRAP=1 $(CARGO) rustdoc --quiet -p farcall-derive --target-dir '$(CURDIR)/$(SEMVER)/$(1)' -- -Zunstable-options --output-format json
macros_of = $(SEMVER)/$(1)/doc/farcall_derive.json
semver: ## what the public API lost since a revision (BASE=v0.1.0); needs cargo-semver-checks 0.51
	$(call say,'public API since $(BASE)')
	@git rev-parse --quiet --verify '$(BASE)^{commit}' >/dev/null || { echo 'BASE=REVISION says since when: the last tag' >&2; exit 2; }
	rm -rf $(SEMVER)/source && mkdir -p $(SEMVER)/source
	git archive '$(BASE)' | tar -x -C $(SEMVER)/source
	cd $(SEMVER)/source && $(call MACROS,base)
	$(call MACROS,now)
	broken=0; \
	$(CARGO) semver-checks --baseline-rustdoc $(call macros_of,base) --current-rustdoc $(call macros_of,now) || broken=1; \
	$(CARGO) semver-checks --baseline-rev '$(BASE)' -p farcall-proto -p farcall || broken=1; \
	exit $$broken

# Sanitizers need a nightly toolchain, or a stable one that is told to pass for one; only here.
FUZZ_SECONDS ?= 60
FUZZ_CARGO = $(shell if RUSTUP_AUTO_INSTALL=0 $(CARGO) +nightly --version >/dev/null 2>&1; then echo '$(CARGO) +nightly'; else echo 'RUSTC_BOOTSTRAP=1 $(CARGO)'; fi)
fuzz: ## every fuzz target for a minute (FUZZ_SECONDS=...); needs cargo-fuzz
	cd crates/farcall-proto && for target in fuzz/fuzz_targets/*.rs; do \
		$(FUZZ_CARGO) fuzz run "$$(basename "$$target" .rs)" -- -max_total_time=$(FUZZ_SECONDS); done

# Static, so that nothing else has to be in the image. Arguments of a build for the machine's own kind of system.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
STATIC := target/static
COMMAND_BYTES_MAX := 15000000
PROGRAMS = $(STATIC)/$(HOST)/release
$(STATIC)/context: FORCE
	$(call say,'static programs')
	RUSTFLAGS='-C target-feature=+crt-static -C strip=symbols' \
		$(CARGO) build --release --target $(HOST) --target-dir $(STATIC) -p farcall-cli -p farcall-integration
	mkdir -p $@
	install -m 755 $(PROGRAMS)/farcall $(PROGRAMS)/farcall-node $@
	@bytes=$$(stat -c %s $@/farcall); echo "the command has $$bytes bytes"; \
		[ "$$bytes" -lt $(COMMAND_BYTES_MAX) ] || { echo 'that is too much: which dependency brought it?' >&2; exit 1; }
FORCE:

image: $(STATIC)/context ## farcall:local: the command and the node of the scenarios, static, on nothing; needs Docker
	$(call say,'image')
	docker build --quiet --tag farcall:local --file docker/Dockerfile $(STATIC)/context
	@docker image inspect --format 'farcall:local is {{.Size}} bytes' farcall:local

# The harness on the machine and the node in the image are of one build.
HARNESS = $(PROGRAMS)/integration
NODES ?= 3
DRIVER ?= tls
IP ?= v4
SHAPE = --nodes $(NODES) --driver $(DRIVER) --ip $(IP)
OBSERVE ?=
cluster: image ## a cluster in containers that stays up (NODES=3 DRIVER=tls|tcp IP=v4|v6; OBSERVE=1: with Prometheus and Grafana)
	OBSERVE=$(OBSERVE) $(HARNESS) up $(SHAPE)
ifeq ($(OBSERVE),1)
	@docker/observe up $(NODES)
endif

cluster-shell: ## the console on the first node of that cluster (NODE=1)
	@$(HARNESS) shell --node $(or $(NODE),1)

cluster-down: ## removes that cluster, whatever state it is in
	@docker/observe down
	@$(HARNESS) down

# Each in a terminal of its own; the cookie is that of your nodes, made if there is none.
CONSOLE = $(CARGO) run --quiet -p farcall-cli -- shell --listen --name
shell-master: ## a console that is a node; another terminal has `make shell-slave`: call slave@127.0.0.1:5392 console Echo {"text": "hi"}
	@$(CONSOLE) master@127.0.0.1:5391

shell-slave: ## the other one: call master@127.0.0.1:5391 console Say {"text": "hello"}
	@$(CONSOLE) slave@127.0.0.1:5392

# LOCAL=1: as processes, without Docker. ONLY=kill,unplug: some of them; SHORT=1: those of CI.
LOCAL ?=
SCENARIOS = $(if $(ONLY),--only $(ONLY)) $(if $(filter 1,$(SHORT)),--short) $(if $(TABLE),--table $(TABLE))
ifeq ($(LOCAL),1)
integration: ## faults on purpose in a cluster of NODES, and what came of them (LOCAL=1, ONLY=.., DRIVER=.., IP=..)
	$(call say,'integration as processes')
	$(CARGO) build -p farcall-cli -p farcall-integration
	target/debug/integration run --local $(SHAPE) $(SCENARIOS)
else
integration: image
	$(call say,'integration in containers')
	$(HARNESS) run $(SHAPE) $(SCENARIOS)
endif

# What it finds is written to target/soak: a report, and a plot.
MINUTES ?= 10
SOAK = $(SHAPE) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
ifeq ($(LOCAL),1)
soak: ## random faults for MINUTES=10, from a SEED; report and plot (LOCAL=1, NODES=.., DRIVER=.., IP=..)
	$(CARGO) build -p farcall-cli -p farcall-integration
	target/debug/integration soak --local $(SOAK)
else
soak: image
	$(HARNESS) soak $(SOAK)
endif

clean: ## removes what was built
	$(CARGO) clean
	cd crates/farcall-bench && $(CARGO) clean
	cd crates/farcall-bench/peers && $(CARGO) clean
