#!/usr/bin/env bash
# What needs one core each, at once: the simulation with fixed seeds, and the must-fail twins: every
# store without a rule must be caught by the seed that docs/testing.md names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly program="${1:-target/gate/simulate}"
readonly log=target/twins.log
"$program" twins --listed >"$log" 2>&1 &
twins=$!
trap 'kill "$twins" 2>/dev/null || true' EXIT
# So many steps of each world take some five minutes of one core.
"$program" ci --steps "${BASALT_SIMULATE_STEPS:-2500000}"
code=0
wait "$twins" || code=$?
cat "$log"
exit "$code"
