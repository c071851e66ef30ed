"""Drives that go and come back, and what must hold meanwhile; for suites about lost drives."""

import time

from basalt import STATE_IN_SYNC, wait_for
from botocore.exceptions import ClientError


def away(path):
    return path.with_name(path.name + ".away")


def remove(server, *numbers):
    for index in numbers:
        server.drives[index].rename(away(server.drives[index]))


def put_back(server, *numbers):
    for index in numbers:
        away(server.drives[index]).rename(server.drives[index])


def stop(server):
    code = server.stop()
    assert code == 0, f"SIGTERM ended the server with {code}"


def clean(load):
    """Fails the check on what the load found so far."""
    found, load.violations = load.violations, []
    assert not found, "\n".join(found[:20])
    assert not load.server.panics(), load.server.panics()[:3]


def out_of_sync(server):
    return {path for path, state in server.drive_states().items() if state != STATE_IN_SYNC}


def wait_missed(server, *numbers, timeout_s=30):
    """Until the server has noticed; answers the seconds it took."""
    begin = time.monotonic()
    gone = {str(server.drives[index]) for index in numbers}
    wait_for(f"the server misses {gone}", lambda: gone <= out_of_sync(server), timeout_s)
    return time.monotonic() - begin


def begin(server, bucket, load, seconds):
    """Starts a server, makes the bucket and puts something into it."""
    server.start()
    server.client().create_bucket(Bucket=bucket)
    load.run(seconds)
    load.check()
    clean(load)
    return load


def goes_on(load, seconds):
    """Under load: reads and writes are served, and nothing is refused any more."""
    load.expect_5xx, load.expect_busy = False, False
    load.run(seconds)
    load.check(settle=False)
    load.expect_busy = True
    clean(load)


def start_reading(server):
    """Starts a server that may lack the drives for writes."""
    server.spawn()
    wait_for("the server is alive", lambda: server.get("/-/health/live")[0] == 200, 60)


def refuses(asks):
    """Each answers 503."""
    for ask in asks:
        try:
            answer = ask()
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error
        else:
            raise AssertionError(f"was answered, with too few drives: {answer}")


def right_or_refused(server, load):
    """With too few drives: every read is right or 503, and soon; a write and a listing are 503.
    Answers how many reads were refused."""
    load.answers, load.expect_5xx = {}, True
    client = server.client(timeout_s=40, expect=False)
    right, refused, slowest_s = 0, 0, 0
    for key in [key for keys in load.owned for key in keys[:6]]:
        since = time.monotonic()
        outcome, value = load.read_value(client, key.name)
        slowest_s = max(slowest_s, time.monotonic() - since)
        if outcome == "done":
            assert value in key.values(), f"{key.name} reads {value}, is {key.values()}"
            right += 1
        else:
            refused += 1
    load.expect_5xx = False
    print(
        f"  with too few drives: {right} reads right, {refused} refused, each within "
        f"{slowest_s:.1f} s; answers: {load.answers}",
        flush=True,
    )
    wrong = {a for a in load.answers if not a.startswith("503 ") and a != "404 NoSuchKey"}
    assert not wrong, f"neither right nor refused by 503: {wrong}"
    assert slowest_s < 10, f"a refusal took {slowest_s:.1f} s"
    refuses(
        [
            lambda: client.put_object(Bucket=load.bucket, Key="too-few", Body=b"3" * 4096),
            lambda: client.list_objects_v2(Bucket=load.bucket),
        ]
    )
    assert server.get("/-/health/live")[0] == 200
    assert server.get("/-/health/ready")[0] == 503
    return refused


def without(server, load, numbers, seconds=0, reads_only=False):
    """A start without these drives, everything right, and the start with them again."""
    stop(server)
    remove(server, *numbers)
    if reads_only:
        start_reading(server)
    else:
        server.start()
    load.check()
    clean(load)
    if seconds:
        goes_on(load, seconds)
    if reads_only:
        client = server.client(timeout_s=40, expect=False)
        refuses([lambda: client.put_object(Bucket=load.bucket, Key="reads-only", Body=b"1" * 99)])
    stop(server)
    assert not any(server.drives[index].exists() for index in numbers), "made a drive anew"
    put_back(server, *numbers)
    server.start()
    took_s = server.wait_in_sync()
    load.check()
    clean(load)
    return took_s


def lost_in_use(server, load, numbers, seconds):
    """These drives are removed under load, and come back under load; answers what it took: until
    noticed, the longest time without an answer, until in sync again."""
    load.expect_5xx = True
    load.start()
    remove(server, *numbers)
    noticed_s = wait_missed(server, *numbers)
    load.stop()
    gap_s = load.gap_s
    load.check(settle=False)
    clean(load)
    goes_on(load, seconds)
    return noticed_s, gap_s, back_in_use(server, load, lambda: put_back(server, *numbers))


def back_in_use(server, load, bring_back):
    """Drives come back under load; answers the seconds until all are in sync."""
    load.expect_5xx = True
    load.start()
    bring_back()
    took_s = server.wait_in_sync(300)
    load.stop()
    print(f"  longest time without an answer while they came back: {load.gap_s:.1f} s", flush=True)
    load.check(settle=False)
    clean(load)
    return took_s
