#!/bin/sh
# All client tests; --full for the sizes of the closing note. See run.py.
exec python3 "$(dirname "$0")/run.py" "$@"
