"""A small HTTP server in threads, for services that speak some documented API. It can be down for a while, and come back."""

import http.server
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx


class Got(NamedTuple):
    """One request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Give(NamedTuple):
    """One answer."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}


class Web:
    """`answer` is called in the thread of the request. What is in `failing` is given first, one for each request that `fails`."""

    def __init__(self, answer: Callable[[Got], Give]) -> None:
        self.failing: list[Give] = []
        self.fails: Callable[[Got], bool] = lambda got: True
        self.got: list[Got] = []
        self.wrong: list[str] = []  # what the caller did against the documentation
        self._answer = answer
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                got = Got(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                web.got.append(got)
                try:
                    give = web.failing.pop(0) if web.failing and web.fails(got) else web._answer(got)
                except Exception as error:
                    web.wrong.append(f"{type(error).__name__}: {error}")
                    give = Give(500)
                data = give.body if isinstance(give.body, bytes) else json.dumps(give.body).encode()
                self.send_response(give.status)
                for name, value in {"Content-Type": "application/json", **give.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = True

            do_GET = do_POST = do_PUT = _any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more, until `start`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @staticmethod
    def post(url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        return httpx.post(url, content=body, headers=dict(headers), timeout=30, trust_env=False)
