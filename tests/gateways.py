"""A gateway of threads, beside whatever event loop a test has; it knows one token, and every task."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

RUNNING, SUCCESS = "IN_PROGRESS", "SUCCESS"


class Gateway:
    """Answers whoever shows its token with the same status for every task; refuses others."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.status = RUNNING
        self.asked: list[float] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(time.monotonic())
                is_known = self.headers["authorization"] == f"Bearer {outer.token}"
                task = {"id": self.path.split("/")[-2], "status": outer.status}
                body = json.dumps(task if is_known else {"error": "no"}).encode()
                self.send_response(200 if is_known else 401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def open(self) -> Iterator[None]:
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
