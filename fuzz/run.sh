#!/usr/bin/env bash
# Runs every fuzz target (ONLY="body config" for some) RUNS times, ten million unless told, from fuzz/corpus and from what
# earlier runs left in fuzz/target/tried. Stops at the first input that breaks a promise; it lies in fuzz/artifacts then.
# What is worth keeping is copied to fuzz/corpus by hand: few and small, since every test run replays them.
# How many inputs were tried, and how many broke a promise, is put into target/bench/results.json.
#
# Needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly && cargo install cargo-fuzz
set -euo pipefail
cd "$(dirname "$0")"

runs=${RUNS:-10000000}
export CARGO_TARGET_DIR=$PWD/target
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
mkdir -p artifacts target
log=target/log
: >$log
panics=0

for target in ${ONLY:-body config prometheus alertmanager matcher}; do
  # No sanitizer: there is no unsafe code of ours to watch, and many more inputs are tried.
  cargo +nightly fuzz build --sanitizer none "$target"
  program=target/$host/release/$target
  # An expression takes long to read, and longer ones much longer.
  length=1024
  [[ $target != matcher ]] || length=48
  mkdir -p "target/tried/$target"
  "$program" -runs="$runs" -max_len=$length -timeout=10 -dict="dictionaries/$target" -print_final_stats=1 \
    -artifact_prefix="artifacts/$target-" "target/tried/$target" "corpus/$target" </dev/null 2>&1 | tee -a $log ||
    { panics=1; break; }
done

runs=$(awk '/^stat::number_of_executed_units:/ { runs += $2 } END { print runs + 0 }' $log)
../benches/keep.py "fuzz.runs=$runs:inputs" "fuzz.panics=$panics:inputs"
exit $panics
