#!/usr/bin/env python3
"""Libraries that programs reach an S3 store by, each with its own idea of the protocol: what was
written by one is read back by it and is the same.
"""

import contextlib
import datetime
import importlib.util
import io
import os
import subprocess
import urllib.request

from tools import run, tool  # noqa: F401 - puts tests/lib on the path

from basalt import PASSWORD, REGION, REPOSITORY, USER, Server, watchdog
from payload import MIB
from runner import Skip, Suite, number

suite = Suite("clients/sdks")
SIZES = (0, 1, 5000, 300_000, 12 * MIB)
GO_SECONDS = 300


def need(*modules):
    for module in modules:
        if not importlib.util.find_spec(module):
            raise Skip(f"{module} is not installed")


def bodies():
    return {size: os.urandom(size) for size in SIZES}


@contextlib.contextmanager
def bucket_of(server, name):
    """A bucket that must be empty again at the end."""
    client = server.client()
    client.create_bucket(Bucket=name)
    yield name
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=name).get("Contents", [])]
    for key in keys:
        client.delete_object(Bucket=name, Key=key)
    client.delete_bucket(Bucket=name)


@suite.check
def minio_for_python(server):
    need("minio")
    from minio import Minio

    client = Minio(f"127.0.0.1:{server.port}", access_key=USER, secret_key=PASSWORD, secure=False)
    with bucket_of(server, "minio-python") as bucket:
        for size, body in bodies().items():
            client.put_object(bucket, f"k/{size}", io.BytesIO(body), size, metadata={"a": "b"})
            assert client.get_object(bucket, f"k/{size}").read() == body, size
            stream = io.BytesIO(body)
            client.put_object(bucket, f"s/{size}", stream, -1, part_size=5 * MIB)
            assert client.get_object(bucket, f"s/{size}").read() == body, size
        names = {entry.object_name for entry in client.list_objects(bucket, recursive=True)}
        assert len(names) == 2 * len(SIZES), names


@suite.check
def minio_for_go(server):
    """minio-go stands in most programs that were made for MinIO."""
    source = REPOSITORY / "tests/clients/minio-go"
    target = REPOSITORY / "target/minio-go"
    build = [tool("go"), "build", "-buildvcs=false", "-o", str(target), "."]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=GO_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    run([str(target), f"127.0.0.1:{server.port}"], server)


@suite.check
def arrow(server):
    """The C++ SDK of AWS."""
    need("pyarrow")
    import pyarrow
    from pyarrow import fs, parquet

    store = fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{server.port}", scheme="http", region=REGION,
        access_key=USER, secret_key=PASSWORD, allow_bucket_deletion=True,
    )  # fmt: skip
    with bucket_of(server, "arrow") as bucket:
        for size, body in bodies().items():
            with store.open_output_stream(f"{bucket}/k/{size}") as stream:
                stream.write(body)
            with store.open_input_stream(f"{bucket}/k/{size}") as stream:
                assert stream.read() == body, size
        table = pyarrow.table({"x": list(range(100_000))})
        parquet.write_table(table, f"{bucket}/t.parquet", filesystem=store)
        assert parquet.read_table(f"{bucket}/t.parquet", filesystem=store).equals(table)
        store.create_dir(f"{bucket}/dir")
        store.move(f"{bucket}/k/5000", f"{bucket}/dir/5000")
        found = store.get_file_info(fs.FileSelector(bucket, recursive=True))
        assert len([entry for entry in found if entry.is_file]) == len(SIZES) + 1, found
        store.delete_dir_contents(bucket)


@suite.check
def object_store_for_rust(server):
    """What Polars, Delta Lake and DataFusion rest on, with its conditional writes."""
    need("obstore")
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError
    from obstore.store import S3Store

    def refused(error, body, mode):
        try:
            obstore.put(store, "c", body, mode=mode)
        except error:
            return
        raise AssertionError(f"{mode} was accepted")

    with bucket_of(server, "obstore") as bucket:
        store = S3Store(
            bucket, endpoint=server.endpoint, region=REGION, access_key_id=USER,
            secret_access_key=PASSWORD, client_options={"allow_http": True},
        )  # fmt: skip
        for size, body in bodies().items():
            obstore.put(store, f"k/{size}", body, attributes={"Content-Type": "a/b", "k": "v"})
            assert bytes(obstore.get(store, f"k/{size}").bytes()) == body, size
        made = {"e_tag": obstore.put(store, "c", b"1", mode="create")["e_tag"]}
        refused(AlreadyExistsError, b"2", "create")
        obstore.put(store, "c", b"3", mode=made)
        refused(PreconditionError, b"4", made)
        obstore.rename(store, "c", "d")
        minute = datetime.timedelta(minutes=1)
        with urllib.request.urlopen(obstore.sign(store, "GET", "d", minute), timeout=30) as answer:
            assert answer.read() == b"3"
        assert len(obstore.list(store).collect()) == len(SIZES) + 1
        obstore.delete(store, [f"k/{size}" for size in SIZES] + ["d"])


@suite.check
def mountpoint(server):
    """The client of Mountpoint and of AWS's connector for PyTorch, on the Common Runtime."""
    need("s3torchconnectorclient")
    os.environ.update(AWS_ACCESS_KEY_ID=USER, AWS_SECRET_ACCESS_KEY=PASSWORD)
    from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

    client = MountpointS3Client(region=REGION, endpoint=server.endpoint, force_path_style=True)
    with bucket_of(server, "mountpoint") as bucket:
        for size, body in bodies().items():
            stream = client.put_object(bucket, f"k/{size}")
            stream.write(body)
            stream.close()
            assert b"".join(client.get_object(bucket, f"k/{size}")) == body, size
            assert client.head_object(bucket, f"k/{size}").size == size
        pages = [page.object_info for page in client.list_objects(bucket, "k/")]
        assert sum(map(len, pages)) == len(SIZES), pages
        client.copy_object(bucket, "k/5000", bucket, "copy")
        client.delete_object(bucket, "copy")


@suite.check
def common_runtime(server):
    """What boto3 and the AWS CLI can transfer by."""
    need("awscrt")
    import botocore.session
    from s3transfer import crt

    session = botocore.session.get_session()
    session.set_credentials(USER, PASSWORD)
    wrapped = crt.BotocoreCRTCredentialsWrapper(session.get_credentials())
    provider = wrapped.to_crt_credentials_provider()
    client = crt.create_s3_crt_client(REGION, use_ssl=False, crt_credentials_provider=provider)
    options = {"region_name": REGION, "endpoint_url": server.endpoint}
    serializer = crt.BotocoreCRTRequestSerializer(session, options)
    with bucket_of(server, "common-runtime") as bucket:
        whole = bodies()
        # A file has its name when its transfer is forgotten, which is after its result is known.
        with crt.CRTTransferManager(client, serializer) as manager:
            for size, body in whole.items():
                (server.root / f"up-{size}").write_bytes(body)
                manager.upload(str(server.root / f"up-{size}"), bucket, f"k/{size}").result()
                manager.download(bucket, f"k/{size}", str(server.root / f"down-{size}"))
        for size, body in whole.items():
            assert (server.root / f"down-{size}").read_bytes() == body, size


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 900))
    with Server() as server:
        server.start()
        suite.run(server)
        suite.judge_server(server)
    suite.finish()
