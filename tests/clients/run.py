#!/usr/bin/env python3
"""Real clients against the built server: every script, one sum at the end.

    tests/clients/run.py            # what CI runs: small sizes
    tests/clients/run.py --full     # 5,000 files, 3 GiB, 5 GiB, 10,000 parts (needs 60 GB, an hour)

A size set in the environment wins; see the head of each script. The AWS CLI, s3cmd and boto3 come
from target/ci-venv where it exists, the libraries of `sdks` from target/ci-sdks, rclone and go from PATH.
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import basalt  # noqa: E402, F401 - goes on under the python that has boto3

SMALL = {
    "BASALT_TREE_FILES": "800",
    "BASALT_MULTIPART_MIB": "64",
    "BASALT_SINGLE_MIB": "128",
    "BASALT_PARTS": "20",
    "BASALT_STEPS": "200",
}
# Apart: what boto3 does changes where the Common Runtime is installed beside it.
SDKS_PYTHON = HERE.parents[1] / "target/ci-sdks/bin/python3"
SCRIPTS = ["boto", "wire", "listing", "trees", "large", "sdks"]


def main():
    full = "--full" in sys.argv[1:]
    env = dict(os.environ) if full else {**SMALL, **os.environ}
    failed = []
    for script in SCRIPTS:
        print(f"== clients/{script}", flush=True)
        python = SDKS_PYTHON if script == "sdks" and SDKS_PYTHON.exists() else sys.executable
        command = [str(python), str(HERE / f"{script}.py")]
        if subprocess.run(command, env=env, timeout=4 * 3600).returncode:
            failed.append(script)
    passed = len(SCRIPTS) - len(failed)
    print(f"clients: {passed} passed, {len(failed)} failed {' '.join(failed)}".rstrip())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
