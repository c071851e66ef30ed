#!/usr/bin/env python3
"""Real trees through real clients: up with one, down with another, identical.

BASALT_TREE_FILES: files of the tree (default 5,000; CI fewer).
"""

from tools import assert_identical, aws, rclone, real_tree, s3cmd

from basalt import Server, watchdog
from runner import Suite, number

suite = Suite("clients/trees")
FILES = number("BASALT_TREE_FILES", 5000)


def tree(server):
    path = server.root / "tree"
    if not path.exists():
        files, size = real_tree(path, FILES)
        print(f"  {files} files, {size >> 20} MiB", flush=True)
    return path


@suite.check
def aws_cp_and_ls(server):
    aws(server, "s3", "mb", "s3://first")
    source = server.root / "hello.txt"
    source.write_text("hello basalt\n")
    aws(server, "s3", "cp", str(source), "s3://first/some/hello.txt")
    assert "hello.txt" in aws(server, "s3", "ls", "s3://first/some/")
    assert "Total Size: 13" in aws(server, "s3", "ls", "--recursive", "--summarize", "s3://first")
    assert aws(server, "s3", "cp", "s3://first/some/hello.txt", "-") == "hello basalt\n"
    aws(server, "s3", "mv", "s3://first/some/hello.txt", "s3://first/moved.txt")
    assert aws(server, "s3", "ls", "s3://first/").split()[-1] == "moved.txt"
    aws(server, "s3", "rb", "--force", "s3://first")


@suite.check
def aws_sync_up_and_rclone_down(server):
    source, target = tree(server), server.root / "rclone-down"
    aws(server, "s3", "mb", "s3://synced")
    aws(server, "s3", "sync", "--only-show-errors", str(source), "s3://synced/tree/")
    rclone(server, "copy", "basalt:synced/tree", str(target))
    assert assert_identical(source, target) == FILES
    again = aws(server, "s3", "sync", "--dryrun", "--size-only", str(source), "s3://synced/tree/")
    assert not again.strip(), f"a second sync would send {again[:300]}"
    rclone(server, "check", "--download", str(source), "basalt:synced/tree")


@suite.check
def rclone_up_and_aws_down(server):
    source, target = tree(server), server.root / "aws-down"
    rclone(server, "mkdir", "basalt:cloned")
    rclone(server, "copy", str(source), "basalt:cloned")
    aws(server, "s3", "sync", "--only-show-errors", "s3://cloned", str(target))
    assert assert_identical(source, target) == FILES
    rclone(server, "sync", str(source / "share"), "basalt:cloned")
    rclone(server, "purge", "basalt:cloned")


@suite.check
def s3cmd_up_and_down(server):
    source, target = tree(server), server.root / "s3cmd-down"
    target.mkdir()
    s3cmd(server, "mb", "s3://commanded")
    s3cmd(server, "sync", "--no-progress", "--quiet", f"{source}/", "s3://commanded/tree/")
    s3cmd(server, "sync", "--no-progress", "--quiet", "s3://commanded/tree/", f"{target}/")
    assert assert_identical(source, target) == FILES
    one = next(path for path in source.rglob("*") if path.is_file())
    s3cmd(server, "put", str(one), "s3://commanded/single")
    assert str(one.stat().st_size) in s3cmd(server, "info", "s3://commanded/single")
    s3cmd(server, "cp", "s3://commanded/single", "s3://commanded/double")
    s3cmd(server, "del", "s3://commanded/single")
    assert "double" in s3cmd(server, "ls", "s3://commanded/")


@suite.check
def everything_is_right_after_a_restart(server):
    assert server.stop() == 0
    server.start()
    target = server.root / "after-restart"
    aws(server, "s3", "sync", "--only-show-errors", "s3://synced/tree", str(target))
    assert assert_identical(tree(server), target) == FILES
    assert not server.panics(), server.panics()[:3]


if __name__ == "__main__":
    watchdog(number("BASALT_TIMEOUT", 3600))
    with Server() as running:
        running.start()
        suite.run(running)
    suite.finish()
