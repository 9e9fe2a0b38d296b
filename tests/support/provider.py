"""The development OpenID provider on a port of its own, for as long as a test runs."""

import json
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from funcgate.demo.loopback import server
from funcgate.demo.provider import Person, make_provider

PEOPLE: Mapping[str, Person] = {
    "bob": Person(groups=("finance",), email="bob@corp.example"),
    "eve": Person(groups=("marketing",), email="eve@corp.example"),
    "agent-7": Person(groups=("agents",)),
    "root": Person(groups=("platform",)),
}


class Provider:
    """Serves until `stop`."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = server(make_provider(self.url, PEOPLE), 0)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> "Provider":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


class TokenEndpoint:
    """A token endpoint that answers whatever a test wants, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (500, b"")
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []  # headers in lower case, form
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((headers, dict(parse_qsl(body))))
                status, answer = outer.answer
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> "TokenEndpoint":
        self._thread.start()
        return self

    def says(self, status: int = 200, **answer: object) -> None:
        self.answer = (status, json.dumps(answer).encode())

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
