#!/usr/bin/env bash
# Fuzzes every decoder of drive and wire with libFuzzer: BASALT_FUZZ_SECONDS each (60), four at a
# time. `fuzz.sh install` only fetches what that needs. Ends with 1, and prints how to see it again,
# if an input crashes, hangs or takes too much memory. Everything lies below target/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly seconds="${BASALT_FUZZ_SECONDS:-60}"
readonly jobs="${BASALT_FUZZ_JOBS:-4}"
readonly toolchain="${BASALT_FUZZ_TOOLCHAIN:-nightly}"
readonly cargo_fuzz=0.13.2
readonly folder="$PWD/target/fuzz"
export PATH="$HOME/.cargo/bin:$PATH"

# A single allocation may have this many MiB, all together that many.
readonly malloc_max=64
readonly memory_max=1024
readonly input_bytes_max=8192
readonly input_seconds_max=20
# A target that ran fewer inputs than these did not fuzz.
readonly executions_min=200

install() {
    if ! command -v c++ >/dev/null; then
        echo "fuzz: libFuzzer needs a C++ compiler (apt-get install g++)"
        exit 1
    fi
    if ! rustup toolchain list | grep "^$toolchain" >/dev/null; then
        rustup toolchain install "$toolchain" --profile minimal
    fi
    if ! cargo fuzz --version 2>/dev/null | grep -F "$cargo_fuzz" >/dev/null; then
        cargo install cargo-fuzz --locked --version "$cargo_fuzz"
    fi
    cargo fetch --locked --manifest-path tools/fuzz/Cargo.toml
}

# run NAME: fuzzes one target into a log.
run() {
    local name=$1 code=0
    local options=(
        "-max_total_time=$seconds" "-timeout=$input_seconds_max" "-max_len=$input_bytes_max"
        "-malloc_limit_mb=$malloc_max" "-rss_limit_mb=$memory_max" "-print_final_stats=1"
        "-artifact_prefix=$folder/failed/$name/"
    )
    if [ -f "$folder/seeds/$name.dict" ]; then options+=("-dict=$folder/seeds/$name.dict"); fi
    mkdir -p "$folder/corpus/$name" "$folder/failed/$name"
    BASALT_FUZZ_DECODER="$name" "$program" "${options[@]}" "$folder/corpus/$name" "$folder/seeds/$name" \
        >"$folder/$name.log" 2>&1 || code=$?
    report "$name" "$code"
}

# report NAME CODE: one line, and after a failure the end of the log and how to run it again.
report() {
    local name=$1 code=$2 log="$folder/$1.log" executions coverage input
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    # tail reads to the end: a reader that stops early (head) kills the writer with SIGPIPE.
    coverage=$(grep -aoE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1 || true)
    printf '%-16s %10s executions  %s\n' "$name" "${executions:-no}" "$coverage"
    if [ "$code" -eq 0 ] && [ "${executions:-0}" -ge "$executions_min" ]; then return; fi
    echo "fuzz: $name FAILED (exit code $code); the end of $log:"
    tail -n 40 "$log"
    for input in "$folder/failed/$name"/*; do
        if [ -f "$input" ]; then echo "fuzz: run it again with BASALT_FUZZ_DECODER=$name $program $input"; fi
    done
    return 1
}

install
if [ "${1:-}" = install ]; then exit 0; fi

cargo fmt --manifest-path tools/fuzz/Cargo.toml -- --check
# Production code has no fuzzing configuration; one codegen unit takes too long for what is linked.
cargo "+$toolchain" fuzz build --fuzz-dir tools/fuzz --target-dir "$folder" \
    --no-cfg-fuzzing --codegen-units 16
program="$folder/$(rustc -vV | sed -n 's/^host: //p')/release/decoder"
names=$(cargo run -q --locked -p decoders -- "$folder/seeds")
# What other runs left behind is no failure of this one.
rm -rf "$folder/failed"
# Leaks are cycles of counted references here, which are not looked for; freed memory that is kept
# to see its use counts as used.
export ASAN_OPTIONS="detect_leaks=0:detect_odr_violation=0:quarantine_size_mb=16"
export RUST_BACKTRACE=1

running=0
failed=0
for name in $names; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
if [ "$failed" -ne 0 ]; then
    echo "fuzz: FAILED; an input that failed becomes a short test beside the decoder it broke"
    exit 1
fi
echo "fuzz: every target held for $seconds s"
