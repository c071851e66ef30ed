"""A proxy that speaks TLS in front of a server, with a certificate of its own authority."""

import asyncio
import contextlib
import pathlib
import ssl
import subprocess
import tempfile
import threading

from basalt import free_port

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
EXTENSIONS = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"


class Sealing:
    """Listens on `endpoint()`; `authority` is the file that its certificate can be checked with."""

    def __init__(self, server_port):
        self.server_port, self.port, self.connections = server_port, free_port(), 0
        self.directory = tempfile.TemporaryDirectory(prefix="basalt-tls-")
        self.authority = self.file("authority.pem")
        self.make_certificate()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.file("server.pem"), self.file("server.key"))
        self.context.set_alpn_protocols(["http/1.1"])
        self.loop = asyncio.new_event_loop()
        # Clients that break off are what some checks are about.
        self.loop.set_exception_handler(lambda *_: None)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def endpoint(self, name="localhost"):
        return f"https://{name}:{self.port}"

    def file(self, name):
        return pathlib.Path(self.directory.name) / name

    def make_certificate(self):
        self.file("extensions").write_text(EXTENSIONS)
        authority, authority_key = self.authority, self.file("authority.key")
        request, key = self.file("server.csr"), self.file("server.key")
        for command in (
            ["req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=a test's authority",
             "-keyout", authority_key, "-out", authority],
            ["req", *NEW_KEY, "-subj", "/CN=localhost", "-keyout", key, "-out", request],
            ["x509", "-req", "-days", "2", "-in", request, "-CA", authority,
             "-CAkey", authority_key, "-CAcreateserial", "-extfile", self.file("extensions"),
             "-out", self.file("server.pem")],
        ):  # fmt: skip
            done = subprocess.run(
                ["openssl", *map(str, command)], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pass_on(reader, server[1]), self.pass_on(server[0], writer))

    @staticmethod
    async def pass_on(reader, writer):
        # Whoever has gone takes the other side along.
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def listen(self):
        return await asyncio.start_server(self.serve, "127.0.0.1", self.port, ssl=self.context)

    def __enter__(self):
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.directory.cleanup()
