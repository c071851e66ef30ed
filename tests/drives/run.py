#!/usr/bin/env python3
"""Loss of drives of a 4+2 set: absence at a restart, removal and truncation under load, an empty
directory in a drive's place, a third loss.

    tests/drives/run.py            # BASALT_SECONDS: load between the steps, default 3

EIO and stalls of a running drive need a file system that can fail: tests/powerloss/run.py.
"""

import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from basalt import STATE_IN_SYNC, Server, binary, wait_for, watchdog  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from load import ABSENT, Load  # noqa: E402
from payload import identity, payload  # noqa: E402
from runner import Suite, number  # noqa: E402

suite = Suite("drives")
SECONDS = number("BASALT_SECONDS", 3)


def away(path):
    return path.with_name(path.name + ".away")


def remove(server, *numbers):
    for index in numbers:
        server.drives[index].rename(away(server.drives[index]))


def put_back(server, *numbers):
    for index in numbers:
        away(server.drives[index]).rename(server.drives[index])


def clean(load):
    """Fails the check on what the load found so far."""
    found, load.violations = load.violations, []
    assert not found, "\n".join(found[:20])
    assert not load.server.panics(), load.server.panics()[:3]


def restart(server):
    code = server.stop()
    assert code == 0, f"SIGTERM ended the server with {code}"
    server.start()


def out_of_sync(server):
    return {path for path, state in server.drive_states().items() if state != STATE_IN_SYNC}


def started(drives=6):
    server = Server(drives=drives)
    server.start()
    server.client().create_bucket(Bucket="drives")
    return server, Load(server, "drives", seed=number("BASALT_SEED", 1))


@suite.check
def any_two_are_absent_at_a_restart():
    """Pair after pair, each returning before the next goes."""
    server, load = started()
    with server:
        load.run(SECONDS)
        for pair in ((0, 1), (2, 3), (4, 5), (0, 5), (1, 3)):
            assert server.stop() == 0
            remove(server, *pair)
            server.start()
            load.check()
            load.run(SECONDS)
            load.check()
            clean(load)
            assert len(out_of_sync(server)) >= 2, server.drive_states()
            assert server.stop() == 0
            assert not any(server.drives[index].exists() for index in pair), "made a drive anew"
            put_back(server, *pair)
            server.start()
            print(f"  drives {pair} caught up in {server.wait_in_sync():.1f} s", flush=True)
            load.check()
            clean(load)


@suite.check
def two_are_removed_under_load():
    """Renaming the directory leaves open files that keep 'accepting' writes."""
    server, load = started()
    with server:
        load.run(SECONDS)
        load.expect_5xx = True
        load.start()
        remove(server, 1, 4)
        gone = {str(server.drives[1]), str(server.drives[4])}
        wait_for("the server misses both drives", lambda: gone <= out_of_sync(server), 30)
        load.stopping.wait(SECONDS)
        load.stop()
        load.expect_5xx = False
        load.check(settle=False)
        load.run(SECONDS)
        load.check()
        clean(load)
        assert server.stop() == 0
        put_back(server, 1, 4)
        server.start()
        server.wait_in_sync()
        assert server.stop() == 0
        remove(server, 0, 2)
        server.start()
        load.check()
        clean(load)


@suite.check
def two_are_truncated_under_load():
    server, load = started()
    with server:
        load.run(SECONDS)
        load.expect_5xx = True
        load.start()
        for index in (0, 3):
            files = [path for path in server.drives[index].rglob("*") if path.is_file()]
            largest = max(files, key=lambda path: path.stat().st_size)
            with open(largest, "r+b") as file:
                file.truncate(4096)
        load.stopping.wait(SECONDS)
        load.stop()
        load.check(settle=False)
        clean(load)
        load.expect_5xx = False
        restart(server)
        load.check()
        load.run(SECONDS)
        load.check()
        clean(load)


@suite.check
def an_empty_drive_is_missing_until_it_is_replaced():
    server, load = started()
    with server:
        load.run(SECONDS)
        assert server.stop() == 0
        remove(server, 2)
        server.drives[2].mkdir()
        server.start()
        load.check()
        load.run(SECONDS)
        clean(load)
        assert str(server.drives[2]) in out_of_sync(server), "an empty drive counts as in sync"
        assert not list(server.drives[2].iterdir()), "an empty drive was formatted silently"
        replace(server, 2)
        print(f"  rebuilt in {server.wait_in_sync(300):.1f} s", flush=True)
        load.check()
        clean(load)
        for pair in ((0, 5), (1, 4)):
            assert server.stop() == 0
            remove(server, *pair)
            server.start()
            load.check()
            clean(load)
            assert server.stop() == 0
            put_back(server, *pair)
            server.start()
            server.wait_in_sync()


def replace(server, index):
    """`basalt storage drive replace`: asks the running server to rebuild a drive."""
    from basalt import PASSWORD, USER  # noqa: PLC0415

    command = [binary(), "storage", "drive", "replace", "--endpoint", server.endpoint]
    command.append(str(server.drives[index]))
    env = {"BASALT_ROOT_USER": USER, "BASALT_ROOT_PASSWORD": PASSWORD, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"replace: {done.stdout}{done.stderr}"


@suite.check
def a_third_loss_answers_503_and_corrupts_nothing():
    server, load = started()
    with server:
        load.run(SECONDS)
        load.check()
        clean(load)
        assert server.stop() == 0
        remove(server, 0, 2)
        server.start()
        load.check()
        clean(load)
        remove(server, 4)
        third = str(server.drives[4])
        wait_for("the server misses the third", lambda: third in out_of_sync(server), 30)
        load.answers = {}
        client = server.client(timeout_s=40)
        before = len(load.violations)
        refused, right = 0, 0
        for key in (key for keys in load.owned for key in keys):
            outcome, value = load.read_value(client, key.name)
            if outcome == "done":
                assert value == key.acked, f"{key.name} reads {value}, is {key.acked}"
                right += 1
            else:
                refused += 1
        print(f"  with three drives gone: {right} right, {refused} refused", flush=True)
        assert refused > 0, "nothing was refused with 3 of 6 drives gone"
        assert set(load.answers) & {"503 ServiceUnavailable", "503 SlowDown"}, load.answers
        assert len(load.violations) == before, load.violations[before:]
        ident = identity("third", 1, 4096)
        try:
            client.put_object(Bucket="drives", Key="third", Body=payload(ident))
            raise AssertionError("a PUT was acknowledged with 3 of 6 drives gone")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error
        server.kill()
        put_back(server, 0, 2, 4)
        server.start()
        server.wait_in_sync()
        load.check()
        clean(load)


@suite.check
def other_geometries_keep_what_they_hold():
    """1, 2, 12 and 24 drives: round trip, a kill, and the loss their parity allows."""
    for drives, losses in ((1, 0), (2, 1), (12, 4), (24, 4)):
        server, load = started(drives)
        with server:
            load.run(SECONDS)
            load.start()
            kill = threading.Timer(0.5, server.kill)
            kill.start()
            kill.join(10)
            load.stop()
            server.start()
            load.check()
            clean(load)
            assert server.stop() == 0
            remove(server, *range(losses))
            server.start()
            load.check()
            if losses:
                clean(load)
                ended = {load.read_value(server.client(), k.name)[1] for k in load.owned[0]}
                assert ended - {ABSENT}, "the load left nothing to read"
            if drives != 2:  # 1+1 with one drive lost is for reading only.
                load.run(SECONDS)
                load.check()
                clean(load)
            print(f"  {drives} drives, {losses} lost", flush=True)


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 1800))
    suite.run().finish()
