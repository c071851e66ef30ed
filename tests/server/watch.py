"""What a running server tells of itself: health, metrics, status, and the log when drives go."""

import json
import re
import time

from program import ANY_PORT, CREDENTIALS, Program, pool, run, scratch
from basalt import wait_for
from botocore.exceptions import ClientError

BODY = b"watched" * 40_000


def health_has_its_paths():
    with scratch() as root, Program(ANY_PORT, *pool(root, 3)) as program:
        program.serving()
        for path in ("/-/health/live", "/-/health/ready", "/minio/health/live", "/minio/health/ready",
                     "/minio/health/cluster", "/minio/health/cluster/read"):  # fmt: skip
            assert program.get(path) == (200, ""), path
        assert program.get("/-/nothing")[0] == 404
        program.stop()


FAMILIES = {
    "s3_requests_total": "counter", "s3_errors_total": "counter", "s3_request_seconds": "histogram",
    "s3_received_bytes_total": "counter", "s3_sent_bytes_total": "counter",
    "s3_requests_in_work": "gauge", "s3_connections": "gauge", "drive_reads_total": "counter",
    "drive_writes_total": "counter", "drive_read_bytes_total": "counter",
    "drive_write_bytes_total": "counter", "drive_read_seconds_total": "counter",
    "drive_write_seconds_total": "counter", "drive_flushes_total": "counter",
    "drive_flush_seconds_total": "counter", "drive_errors_total": "counter",
    "drive_corrupt_blocks_total": "counter", "drive_used_bytes": "gauge", "drive_free_bytes": "gauge",
    "drive_capacity_bytes": "gauge", "drive_in_sync": "gauge", "drive_queue_depth": "gauge",
    "drive_state": "gauge", "drive_log_depth": "gauge", "drive_log_batches_total": "counter",
    "drive_log_records_total": "counter", "drive_index_memory_bytes": "gauge",
    "memory_limit_bytes": "gauge", "memory_resident_bytes": "gauge",
    "memory_bodies_held_bytes": "gauge", "memory_bodies_waiting": "gauge", "node_ready": "gauge",
    "node_drives_out": "gauge", "build_info": "gauge", "profile_info": "gauge",
    "profile_drift": "gauge", "shard_cpu": "gauge", "gateway_cpu": "gauge", "control_cpu": "gauge",
    "drive_shard": "gauge", "drive_read_queue_depth_max": "gauge",
    "drive_write_queue_depth_max": "gauge", "drive_split_bytes": "gauge",
    "drive_background_share": "gauge", "drive_in_flight_reads_max": "gauge",
    "drive_in_flight_writes_max": "gauge", "drive_waited_total": "counter",
    "drive_background_ios_total": "counter", "drive_background_bytes_total": "counter",
}  # fmt: skip


def samples(program):
    """{name with labels: value}, after the text was looked at line by line."""
    status, text = program.get("/-/metrics")
    assert status == 200
    found, kinds = {}, {}
    for line in text.splitlines():
        kind = re.fullmatch(r"# TYPE basalt_(\w+) (counter|gauge|histogram)", line)
        if kind:
            kinds[kind[1]] = kind[2]
        elif not line.startswith("# HELP basalt_"):
            sample = re.fullmatch(r"(basalt_\w+(?:\{[^{}]*\})?) (-?[0-9.e+-]+|\+Inf|NaN)", line)
            assert sample, line
            assert sample[1] not in found, f"{line}: twice"
            found[sample[1]] = float(sample[2])
    assert kinds.items() >= FAMILIES.items(), FAMILIES.items() - kinds.items()
    return found


def states_in(found, path):
    """{state: value} of a drive in what `samples` gave."""
    begin = f'basalt_drive_state{{drive="{path}",uuid="'
    return {name.split('state="')[1].removesuffix('"}'): value
            for name, value in found.items() if name.startswith(begin)}  # fmt: skip


def use(program, bucket):
    client = program.client()
    client.create_bucket(Bucket=bucket)
    for number in range(10):
        client.put_object(Bucket=bucket, Key=f"k{number}", Body=BODY[: 1000 + number])
    client.put_object(Bucket=bucket, Key="long", Body=BODY)
    assert client.get_object(Bucket=bucket, Key="long")["Body"].read() == BODY
    for key in ("none", "none-either"):
        try:
            client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
    return client


def metrics_count_what_happened():
    with scratch() as root, Program(ANY_PORT, *pool(root, 4)) as program:
        program.serving()
        before = samples(program)
        use(program, "metrics")
        time.sleep(1.2)  # Drives are reported each second.
        after = samples(program)

        def rise(name):
            return after[name] - before.get(name, 0)

        assert rise('basalt_s3_requests_total{operation="put"}') == 11
        assert rise('basalt_s3_requests_total{operation="get"}') == 3
        assert rise('basalt_s3_errors_total{code="NoSuchKey"}') == 2
        assert rise('basalt_s3_errors_total{code="SlowDown"}') == 0
        assert rise('basalt_s3_request_seconds_count{operation="put"}') == 11
        assert rise('basalt_s3_request_seconds_bucket{operation="put",le="+Inf"}') == 11
        assert rise("basalt_s3_received_bytes_total") >= len(BODY) + 10_000
        assert rise("basalt_s3_sent_bytes_total") >= len(BODY)
        for path in (root / f"d{number}" for number in (1, 2, 3, 4)):
            def drive(family, path=path):
                return next(value for name, value in after.items()
                            if name.startswith(f'basalt_{family}{{drive="{path}",uuid="'))  # fmt: skip

            assert drive("drive_in_sync") == 1 and drive("drive_errors_total") == 0
            states = {"in-sync": 1, "catching-up": 0, "missing": 0, "failed": 0}
            assert states_in(after, path) == states, states_in(after, path)
            assert drive("drive_capacity_bytes") == 256 << 20
            assert drive("drive_writes_total") > 0 and drive("drive_flushes_total") > 0
            assert drive("drive_flush_seconds_total") > 0 and drive("drive_log_batches_total") > 0
            assert drive("drive_write_bytes_total") > 0
        assert after["basalt_memory_resident_bytes"] > 1 << 20
        assert after["basalt_node_ready"] == 1 and after["basalt_node_drives_out"] == 0
        program.stop()


def status_of(program):
    return json.loads(program.get("/-/status")[1])


def state_of(program, path):
    drives = status_of(program)["drives"]
    return next(drive["state"] for drive in drives if drive["path"] == str(path))


def status_names_every_drive():
    with scratch() as root, Program(ANY_PORT, *pool(root, 4)) as program:
        use(program.serving(), "status")
        time.sleep(1.2)
        answer = status_of(program)
        assert answer["version"] and answer["commit"]
        assert answer["driver"] in ("uring", "threads"), answer["driver"]
        assert answer["objects_short_of_protection"] == 0 and answer["objects_short_counted"] == 0
        for drive in answer["drives"]:
            assert re.fullmatch("[0-9a-f]{32}", drive["uuid"]), drive
            assert drive["state"] == "in-sync" and drive["errors"] == 0 and drive["advice"] == ""
            assert drive["used_bytes"] > 0 and drive["free_bytes"] > 0
        shown = run("status", "--endpoint", program.endpoint).stdout
        for drive in answer["drives"]:
            assert drive["path"] in shown and drive["uuid"] in shown, shown
        assert "objects short of protection: 0" in shown, shown
        program.stop()


def stored(client, bucket, key):
    """Whether a write is taken: while a view changes it may get 503."""
    try:
        return client.put_object(Bucket=bucket, Key=key, Body=BODY)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503, error


def a_drive_that_goes_and_comes_back_is_told_of():
    with scratch() as root, Program(ANY_PORT, *pool(root, 4)) as program:
        client = use(program.serving(), "returns")
        drive, away = root / "d2", root / "away"
        drive.rename(away)
        wait_for("it is out", lambda: state_of(program, drive) == "failed", 20)
        wait_for("writes go on", lambda: stored(client, "returns", "meanwhile"), 20)
        lines = program.lines("ERROR", "drive state", str(drive))
        assert len(lines) == 1 and "storage drive replace" in lines[0], lines
        # All that `use` wrote: objects from before the drive went are counted too.
        wait_for("they are counted", lambda: status_of(program)["objects_short_counted"] >= 11, 90)
        assert status_of(program)["objects_short_of_protection"] is None
        shown = run("status", "--endpoint", program.endpoint).stdout
        assert "failed" in shown and "storage drive replace" in shown, shown
        assert re.search("protection: [1-9][0-9]+ counted, and any other of set 0 may", shown), shown
        found = samples(program)
        assert found["basalt_node_drives_out"] == 1
        assert found["basalt_cluster_objects_short_of_protection"] >= 11
        states = {"in-sync": 0, "catching-up": 0, "missing": 0, "failed": 1}
        assert states_in(found, drive) == states, states_in(found, drive)
        assert program.get("/-/health/ready")[0] == 200
        away.rename(drive)
        wait_for("it is back", lambda: state_of(program, drive) == "in-sync", 60)
        assert program.lines("INFO", "drive state", str(drive), "state=in-sync"), program.log
        wait_for("none is short", lambda: status_of(program)["objects_short_counted"] == 0, 90)
        program.stop()


def an_empty_drive_is_replaced_on_demand():
    with scratch() as root:
        with Program(ANY_PORT, *pool(root, 4)) as program:
            use(program.serving(), "replaced")
            program.stop()
        drive = root / "d3"
        drive.rename(root / "old")
        drive.mkdir()
        with Program(ANY_PORT, *pool(root, 4)) as program:
            program.serving()
            assert state_of(program, drive) == "missing" and not list(drive.iterdir())
            missing = program.lines("ERROR", "missing", str(drive))
            assert len(missing) == 1 and "storage drive replace" in missing[0], missing
            args = ["storage", "drive", "replace", "--endpoint", program.endpoint, drive]
            answer = run(*args, env=CREDENTIALS)
            assert answer.returncode == 0, answer
            uuid = re.search("[0-9a-f]{32}", answer.stdout)[0]
            wait_for("it is rebuilt", lambda: state_of(program, drive) == "in-sync", 60)
            assert program.lines("replaced", uuid) and program.lines("caught up"), program.log
            program.stop()
        for name in ("d1", "d2"):
            (root / name).rename(root / f"{name}-away")
        with Program(ANY_PORT, *pool(root, 4)) as program:
            # What two of four can serve is tests/drives' to say: here the new drive knows the pool.
            wait_for("it listens", lambda: program.lines("serving"), 30)
            assert state_of(program, drive) != "missing"


def too_few_drives_are_no_empty_store():
    """Without its drives the server knows no buckets: it says 503, never that there are none."""
    with scratch() as root:
        with Program(ANY_PORT, *pool(root, 3)) as program:
            use(program.serving(), "waiting")
            program.stop()
        for name in ("d1", "d2"):
            (root / name).rename(root / f"{name}-away")
        with Program(ANY_PORT, *pool(root, 3)) as program:
            begin = time.monotonic()
            program.serving(20)
            assert time.monotonic() - begin < 15, "it waited for drives before it listened"
            assert program.get("/-/health/live")[0] == 200
            assert program.get("/-/health/ready")[0] == 503
            assert program.get("/minio/health/cluster/read")[0] == 503
            client = program.client()
            for call in (client.list_buckets, lambda: client.head_bucket(Bucket="waiting"),
                         lambda: client.get_object(Bucket="waiting", Key="long"),
                         lambda: client.put_object(Bucket="waiting", Key="new", Body=b"")):  # fmt: skip
                try:
                    call()
                    raise AssertionError("served without drives")
                except ClientError as error:
                    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    assert status == 503, error
            for name in ("d1", "d2"):
                (root / f"{name}-away").rename(root / name)
            wait_for("it is ready", lambda: program.get("/-/health/ready")[0] == 200, 60)
            assert client.get_object(Bucket="waiting", Key="long")["Body"].read() == BODY
            program.stop()


CHECKS = [
    health_has_its_paths, metrics_count_what_happened, status_names_every_drive,
    a_drive_that_goes_and_comes_back_is_told_of, an_empty_drive_is_replaced_on_demand,
    too_few_drives_are_no_empty_store,
]  # fmt: skip
