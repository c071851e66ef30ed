#!/usr/bin/env bash
# Runs suites of tests/ at the same time, for those that mostly wait: each one's output comes in one
# piece once it ends, with the time it took. Ends with 1 if one failed, after all have ended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$#" -eq 1 ]; then exec python3 "tests/$1/run.py"; fi

readonly logs=target/suites
rm -rf "$logs"
mkdir -p "$logs"
running=()

# run SUITE: one suite into its log.
run() {
    local suite=$1 code=0 begin=$SECONDS
    python3 "tests/$suite/run.py" >"$logs/$suite.log" 2>&1 || code=$?
    printf '%s took %d s (exit code %d)\n' "$suite" "$((SECONDS - begin))" "$code" >>"$logs/$suite.log"
    cat "$logs/$suite.log"
    return "$code"
}

# stop: ends what still runs, and shows what it has said.
stop() {
    local log
    kill "${running[@]}" 2>/dev/null || true
    for log in "$logs"/*.log; do
        if ! grep -q '^[a-z]* took [0-9]* s (exit code' "$log"; then tail -v -n 40 "$log"; fi
    done
}
trap stop EXIT
trap 'exit 1' TERM INT
for suite in "$@"; do
    run "$suite" &
    running+=("$!")
done
code=0
for process in "${running[@]}"; do
    wait "$process" || code=1
done
exit "$code"
