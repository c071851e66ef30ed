#!/bin/sh
# Real clients against the built server: every script, one sum at the end.
#   tests/clients/run.sh            full sizes (5,000 files, 3 GiB, 5 GiB, 10,000 parts)
#   tests/clients/run.sh --small    what CI runs
# Clients come from target/ci-venv (awscli boto3 s3cmd) where it exists; rclone from PATH.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
python=python3
if [ -x "$repository/target/ci-venv/bin/python3" ]; then
    python="$repository/target/ci-venv/bin/python3"
fi
if [ "${1:-}" = "--small" ]; then
    export BASALT_TREE_FILES="${BASALT_TREE_FILES:-800}"
    export BASALT_MULTIPART_MIB="${BASALT_MULTIPART_MIB:-64}"
    export BASALT_SINGLE_MIB="${BASALT_SINGLE_MIB:-128}"
    export BASALT_PARTS="${BASALT_PARTS:-20}"
    export BASALT_STEPS="${BASALT_STEPS:-200}"
fi
failed=""
for script in boto listing trees large; do
    echo "== clients/$script"
    "$python" "$here/$script.py" || failed="$failed $script"
done
if [ -n "$failed" ]; then
    echo "clients: failed:$failed"
    exit 1
fi
echo "clients: all passed"
