#!/usr/bin/env bash
# What needs no privileges: formatting, lints, unit tests. What a tool is missing for is skipped, and said so; under CI
# rustfmt and clippy must be there.
set -euo pipefail
cd "$(dirname "$0")/.."

have() {
    "$@" --version >/dev/null 2>&1
}

missing() {
    echo "skipped: $1 ($2)"
    [ -z "${CI-}" ]
}

# One set of features and one profile in every step (always the whole workspace): nothing is compiled twice but for
# what clippy needs of its own.
if have cargo fmt; then
    cargo fmt --all --check
else
    missing 'formatting' 'no rustfmt: rustup component add rustfmt'
fi
if have cargo clippy; then
    cargo clippy --locked --workspace --all-targets -- -D warnings
else
    missing 'lints' 'no clippy: rustup component add clippy'
fi
cargo test --locked --workspace --lib
cargo test --locked --workspace --doc

if have shellcheck; then
    shellcheck ci/*.sh .ci/run
else
    echo 'skipped: lints of scripts (no shellcheck: apt-get install shellcheck)'
fi
if have cargo deny; then
    # Advisories need a database from GitHub: `cargo deny check` asks for all.
    cargo deny --workspace --locked check --hide-inclusion-graph bans licenses sources
else
    echo 'skipped: licences and sources of dependencies (no cargo-deny: cargo install --locked cargo-deny)'
fi
