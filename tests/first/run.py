#!/usr/bin/env python3
"""From a clone to the first PUT, compile included: what somebody waits for who tries this.

    tests/first/run.py            # needs the AWS CLI; crates are fetched if they are not there yet
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "clients")]

from tools import tool  # noqa: E402

from basalt import REPOSITORY, free_port, wait_for  # noqa: E402

BUILD_SECONDS = 1800
COMMAND = ["cargo", "run", "--release", "--locked", "-p", "basalt", "--", "server", "--dev"]


def main():
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BASALT_", "CARGO_"))}
    with tempfile.TemporaryDirectory(prefix="basalt-first-") as scratch:
        clone = pathlib.Path(scratch) / "basalt"
        begin = time.monotonic()
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True, timeout=120)
        address = f"127.0.0.1:{free_port()}"
        said = pathlib.Path(scratch) / "said"
        with open(said, "wb") as out:
            server = subprocess.Popen(
                [*COMMAND, "--address", address], cwd=clone, env=environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        try:

            def serves():
                assert server.poll() is None, said.read_text()[-2000:]
                return " serving " in said.read_text()

            wait_for("the server serves", serves, BUILD_SECONDS, 0.1)
            built = time.monotonic()
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                environment[name] = re.search(rf"{name}=(\S+)", said.read_text())[1]
            environment.update(AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=f"http://{address}")
            for command in (["mb", "s3://photos"], ["cp", "README.md", "s3://photos/readme"]):
                subprocess.run([tool("aws"), "s3", *command], cwd=clone, env=environment, check=True, timeout=60)
            end = time.monotonic()
        finally:
            server.terminate()
            server.wait(60)
    print(f"first PUT {end - begin:.0f} s after the clone began, {built - begin:.0f} of them to the start of the server")


if __name__ == "__main__":
    main()
