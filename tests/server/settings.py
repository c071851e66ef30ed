"""Settings and credentials: layers, origins, unknown names, secrets; addresses and domains."""

import http.client
import os
import re
import socket

from program import (
    ANY_PORT, CREDENTIALS, SMALL, Program, pool, refused, run, scratch,
)  # fmt: skip
from basalt import PASSWORD, USER, free_port
from botocore.exceptions import ClientError
from runner import Skip
from sigv4 import UNSIGNED, Signer


def assert_shown(shown, name, value, origin):
    """`config show --origin` printed this line."""
    line = next(line for line in shown.splitlines() if line.startswith(f"{name} = "))
    assert line.split("#")[0].strip() == f"{name} = {value}" and line.endswith(f"# {origin}"), line


def each_layer_beats_the_next_and_says_so():
    with scratch() as root:
        file = root / "basalt.toml"
        file.write_text('region = "eu-1"\nparity = 3\n[limits]\n[log]\nlevel = "warn"\n')
        env = {"BASALT_CONFIG": str(file), "BASALT_PARITY": "2", "BASALT_TIMEOUTS__DRAIN": "7s"}
        shown = run("config", "show", "--origin", env=env).stdout
        for name, value, origin in (
            ("region", '"eu-1"', f"file {file}"), ("parity", "2", "environment BASALT_PARITY"),
            ("timeouts.drain", '"7s"', "environment BASALT_TIMEOUTS__DRAIN"),
            ("log.level", '"warn"', f"file {file}"), ("memory", '"auto"', "default"),
        ):  # fmt: skip
            assert_shown(shown, name, value, origin)
        plain = run("config", "show", env=env).stdout
        file.write_text(plain)
        assert run("config", "check", "--config", file).returncode == 0
        # A flag beats them all; the log level is still the file's.
        env.update(CREDENTIALS, BASALT_REGION="env-1", BASALT_LOG__LEVEL="")
        with Program(ANY_PORT, "--region=flag-1", "--log-level=info", *pool(root, 4), env=env) as program:
            line = program.serving().lines("serving")[0]
            assert "region=flag-1" in line and "ec=2+2" in line, line
            program.stop()


def flags_of_a_server_are_shown_without_one():
    with scratch() as root:
        file = root / "basalt.toml"
        file.write_text('region = "eu-1"\n[log]\nlevel = "warn"\n')
        flags = ["--config", file, "--address", "127.0.0.1:9001", "--region", "eu", "--parity", "2"]
        env = {"BASALT_PARITY": "3", "BASALT_GATEWAYS": "4"}
        shown = run("config", "show", "--origin", *flags, env=env).stdout
        for name, value, origin in (
            ("address", '["127.0.0.1:9001"]', "flag --address"), ("region", '"eu"', "flag --region"),
            ("parity", "2", "flag --parity"), ("gateways", "4", "environment BASALT_GATEWAYS"),
            ("log.level", '"warn"', f"file {file}"), ("memory", '"auto"', "default"),
        ):  # fmt: skip
            assert_shown(shown, name, value, origin)
        assert run("config", "check", *flags, env=env).returncode == 0
        # So is what --dev brings, and nothing is made.
        shown = run("config", "show", "--origin", "--dev", root / "dev", "--parity=1").stdout
        assert_shown(shown, "parity", "1", "flag --parity")
        assert "# --dev" in shown, shown
        shown = run("config", "show", "--origin", root / "d{1...2}").stdout
        assert f'drives = ["{root}/d{{1...2}}"]' in shown, shown
        assert list(root.iterdir()) == [file]


def unknown_and_wrong_settings_are_named():
    with scratch() as root:
        file = root / "basalt.toml"
        file.write_text('regoin = "x"\n[timeouts]\nbogus = 1\ndrain = 5\n[secrets]\npassword = "hunter2-x"\n')
        answer = run("config", "check", "--config", file, env={"BASALT_PARTIY": "1"})
        assert answer.returncode == 8, answer
        for word in ("`regoin`", "did you mean `region`", "`timeouts.bogus`", "`timeouts.drain`",
                     "BASALT_PARTIY", "did you mean `BASALT_PARITY`", "secrets do not stand in the file"):
            assert word in answer.stderr, (word, answer.stderr)
        assert "hunter2" not in answer.stderr
        for args, words in (
            (["--config", file], ["regoin"]), (["--memory=1.5GiB"], ["memory", "1.5GiB"]),
            (["--address=here:1"], ["address", "here:1"]), (["--driver=spdk"], ["driver", "uring"]),
            (["--parity=40"], ["parity", "0 to 32"]), (["--domain=a..b"], ["domain"]),
        ):  # fmt: skip
            with Program(ANY_PORT, *args, *pool(root, 4)) as program:
                assert program.ended() == 2, (args, program.log)
                assert all(word in program.log for word in words), program.log
                # Without a server the same is said.
                for command, code in (("check", 8), ("show", 2)):
                    answer = run("config", command, *args)
                    assert (answer.returncode, answer.stderr) == (code, program.log), answer
        with Program(ANY_PORT, *pool(root, 4), env={**CREDENTIALS, "BASALT_TYPO": "1"}) as program:
            assert program.ended() == 2 and "BASALT_TYPO" in program.log, program.log
        assert run("config", "check", env={"BASALT_CONFIG": "/no/such/file"}).returncode == 8
        assert "| `region` |" in run("config", "reference").stdout
        assert not [path for path in root.iterdir() if path != file]


def credentials_are_needed_and_have_rules():
    user, secret = "BASALT_ROOT_USER", "BASALT_ROOT_PASSWORD"
    with scratch() as root:
        drives = pool(root, 3)
        refused(root, drives, user, secret, "--dev", env={})
        refused(root, drives, secret, env={user: USER})
        refused(root, drives, user, env={secret: PASSWORD})
        refused(root, drives, "shorter than 8", env={user: USER, secret: "short-7"})
        refused(root, drives, "shorter than 3", env={user: "ab", secret: PASSWORD})
        refused(root, drives, "both set", env={**CREDENTIALS, f"{secret}_FILE": "/x"})


def secrets_in_files_must_be_private():
    with scratch() as root:
        file = root / "password"
        file.write_text(PASSWORD + "\n")
        env = {"BASALT_ROOT_USER": USER, "BASALT_ROOT_PASSWORD_FILE": str(file)}
        for mode in (0o644, 0o640, 0o604, 0o660):
            os.chmod(file, mode)
            refused(root, pool(root, 3), file, "others can read", f"{mode:o}", env=env)
        os.chmod(file, 0o600)
        with Program(ANY_PORT, *pool(root, 3), env=env) as program:
            program.serving().client().create_bucket(Bucket="private")
            program.stop()
            assert PASSWORD not in program.log + program.printed


def code_of(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


def a_changed_password_holds_from_the_next_start():
    with scratch() as root:
        with Program(ANY_PORT, *pool(root, 3)) as program:
            program.client().create_bucket(Bucket="kept")
            program.stop()
        new = {"BASALT_ROOT_USER": "someone-else", "BASALT_ROOT_PASSWORD": "another-secret"}
        with Program(ANY_PORT, *pool(root, 3), env=new) as program:
            client = program.client("someone-else", "another-secret")
            assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["kept"]
            assert code_of(program.client().list_buckets) == "InvalidAccessKeyId"
            wrong = program.client("someone-else", PASSWORD)
            assert code_of(wrong.list_buckets) == "SignatureDoesNotMatch"
            program.stop()


def dev_makes_keys_once_and_little_else():
    with scratch() as root:
        place = root / "try"
        keys = []
        for _ in range(2):
            with Program(ANY_PORT, "--dev", place, env={}, cwd=root) as program:
                program.serving()
                found = re.search(r"AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+) aws "
                                  r"--endpoint-url (\S+) --region (\S+) s3 mb", program.printed)  # fmt: skip
                assert found and found[3] == program.endpoint, program.printed
                keys.append((found[1], found[2]))
                client = program.client(*keys[0])
                assert "ec=4+2" in program.lines("serving")[0]
                if len(keys) == 1:
                    sizes = [path.stat().st_blocks * 512 for path in place.rglob("*")]
                    assert sum(sizes) <= 256 << 20, f"{sum(sizes) >> 20} MiB at the first start"
                    client.create_bucket(Bucket="tried")
                assert client.list_buckets()["Buckets"][0]["Name"] == "tried"
                program.stop()
                assert keys[0][1] not in program.log, "the log holds the secret"
        assert keys[0] == keys[1], "the keys changed"
        modes = {oct(path.stat().st_mode & 0o777) for path in place.rglob("*") if path.is_file()}
        assert modes == {"0o600"}, modes
        (root / "mine").mkdir()
        (root / "mine" / "letter").write_text("dear")
        refused(root, ["--dev", root / "mine"], "not empty", "letter")
        os.chmod(place / "credentials", 0o644)
        refused(root, ["--dev", place], "others can read", env={})


def dev_holds_ten_gib_at_most():
    with scratch() as root, Program(ANY_PORT, "--dev", cwd=root, env={}) as program:
        program.serving()
        drives = [line for line in program.get("/-/metrics")[1].splitlines()
                  if line.startswith("basalt_drive_capacity_bytes{")]  # fmt: skip
        total = sum(float(line.split()[-1]) for line in drives)
        assert len(drives) == 6 and total <= 10 << 30, total
        assert (root / "basalt-data" / "credentials").is_file()
        program.stop()


def several_addresses_and_ipv6():
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        raise Skip("this machine has no IPv6")
    with scratch() as root:
        one, two = free_port(), free_port()
        args = [f"--address=127.0.0.1:{one}", f"--address=[::1]:{two}", *pool(root, 2)]
        with Program(*args) as program:
            program.serving()
            assert program.addresses() == [f"127.0.0.1:{one}", f"[::1]:{two}"]
            assert program.get("/-/health/ready", "127.0.0.1", one)[0] == 200
            assert program.get("/-/health/ready", "::1", two)[0] == 200
            answer = run("status", "--endpoint", f"http://[::1]:{two}")
            assert answer.returncode == 0 and "in-sync" in answer.stdout, answer
            program.stop()


def domains_name_buckets():
    with scratch() as root:
        with Program(ANY_PORT, "--domain=s3.test", "--domain=other.test", *pool(root, 2)) as program:
            program.client().create_bucket(Bucket="virtual")
            program.client().put_object(Bucket="virtual", Key="a/b", Body=b"found")
            for host, path, status in (
                ("virtual.s3.test", "/a/b", 200), ("virtual.other.test:80", "/a/b", 200),
                ("s3.test", "/virtual/a/b", 200), ("elsewhere.test", "/virtual/a/b", 200),
                ("missing.s3.test", "/a/b", 404),
            ):  # fmt: skip
                signer = Signer()
                headers = {"host": host, "x-amz-date": signer.date, "x-amz-content-sha256": UNSIGNED}
                headers["authorization"] = signer.authorization("GET", path, (), headers, UNSIGNED)[0]
                connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == status, (host, path, answer.status, body)
                assert status != 200 or body == b"found"
                connection.close()
            program.stop()


CHECKS = [
    each_layer_beats_the_next_and_says_so, flags_of_a_server_are_shown_without_one,
    unknown_and_wrong_settings_are_named,
    credentials_are_needed_and_have_rules, secrets_in_files_must_be_private,
    a_changed_password_holds_from_the_next_start, dev_makes_keys_once_and_little_else,
    dev_holds_ten_gib_at_most, several_addresses_and_ipv6, domains_name_buckets,
]  # fmt: skip
