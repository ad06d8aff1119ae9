#!/usr/bin/env bash
# What needs namespaces: the integration tests, and every scenario. As root, or as a user who may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --locked --workspace --test '*' --no-run
# Built by the tests, with their features: `cargo run` would compile a third of all dependencies again.
natlab=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/natlab
"$natlab" doctor
cargo test --locked --workspace --test '*'
"$natlab" run scenarios --timeout 2min
