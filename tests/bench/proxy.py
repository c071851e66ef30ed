"""A proxy that changes some of the answers of a server: blocks torn, of another object, or old."""

import http.client
import http.server
import socketserver
import threading

from basalt import free_port

BLOCK = 4096


class Corrupting:
    """Listens on `endpoint`; every tenth answer to a GET of an object is a lie."""

    def __init__(self, server_port, kind):
        self.kind, self.port, self.lies, self.asked = kind, free_port(), 0, 0
        self.lock = threading.Lock()
        # The first body of each key that was seen, and the last of any.
        self.first, self.last = {}, None
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                upstream = http.client.HTTPConnection("127.0.0.1", server_port, timeout=60)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                data = answer.read()
                upstream.close()
                is_object = self.command == "GET" and "?" not in self.path
                if is_object and answer.status == 200:
                    data = proxy.lie(self.path, data)
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                told = answer.getheader("content-length") or 0
                size = told if self.command == "HEAD" else len(data)
                self.send_header("content-length", str(size))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        class Proxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.proxy = Proxy(("127.0.0.1", self.port), Handler)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def lie(self, path, data):
        with self.lock:
            self.asked += 1
            first = self.first.setdefault(path, data)
            other, self.last = self.last, (path, data)
            if self.asked % 10 or len(data) < 2 * BLOCK:
                return data
            if self.kind == "torn":
                lie = data[: BLOCK + 100] + bytes([data[BLOCK + 100] ^ 1]) + data[BLOCK + 101 :]
            elif self.kind == "misdirected" and other and other[0] != path:
                lie = data[:BLOCK] + other[1][BLOCK : 2 * BLOCK] + data[2 * BLOCK :]
            elif self.kind == "stale":
                lie = first
            else:
                lie = data
            self.lies += lie != data
            return lie

    def __enter__(self):
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.proxy.shutdown()
        self.proxy.server_close()
