"""Receivers of the record: syslog that reads RFC 5424 to the letter, webhooks that check signatures, OTLP that decodes."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from support.certificates import self_signed

_HEADER = re.compile(
    rb"<(\d{1,3})>1 "
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)|-) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
)
_PARAM = re.compile(rb' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"')
_ID = re.compile(rb"\[([!#-<>-\\^-~]{1,32})")


class SyslogMessage(NamedTuple):
    pri: int
    at: str
    host: str
    app: str
    kind: str
    data: dict[str, str]
    text: bytes


def parse(message: bytes) -> SyslogMessage:
    """RFC 5424, section 6. Raises `ValueError` for anything else."""
    head = _HEADER.match(message)
    if head is None or int(head[1]) > 191:
        raise ValueError(f"no header: {message[:80]!r}")
    at = head.end()
    params: dict[str, str] = {}
    element = _ID.match(message, at)
    if element is None:
        raise ValueError(f"no structured data: {message[at:][:80]!r}")
    at = element.end()
    while param := _PARAM.match(message, at):
        value = re.sub(rb'\\(["\\\]])', rb"\1", param[2]).decode("utf-8")
        params[param[1].decode()] = value
        at = param.end()
    if message[at : at + 2] != b"] ":
        raise ValueError(f"structured data that does not end: {message[at:][:80]!r}")
    pri, when, host, app, _, kind = (part.decode() for part in head.groups())
    return SyslogMessage(int(pri), when, host, app, kind, params, message[at + 2 :])


class SyslogReceiver:
    """Reads frames (RFC 6587, 3.4.1) from any number of connections. `slow_s` is waited before each read."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.messages: list[SyslogMessage] = []
        self.wrong: list[str] = []
        self.slow_s = 0.0
        self.connections = 0
        self._tls = tls
        self._dead = False
        self._readers: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def ids(self) -> list[str]:
        return [message.data["id"] for message in list(self.messages)]

    def kill(self) -> None:
        """Gone as by kill -9: what was not read is lost, and the other side gets a reset."""
        self._dead = True
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
        self._accepting.join()
        self._listener.close()
        for reader in self._readers:
            reader.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._readers.append(threading.Thread(target=self._read, args=(connection,), daemon=True))
            self._readers[-1].start()

    def _read(self, connection: socket.socket) -> None:
        rest = b""
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self.connections += 1
            connection.settimeout(0.02)
            while not self._dead:
                time.sleep(self.slow_s)
                with contextlib.suppress(TimeoutError):
                    data = connection.recv(4096 if self.slow_s else 1 << 16)
                    if not data:
                        connection.close()
                        return
                    rest = self._frames(rest + data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError):
                self.wrong.append(str(error))

    def _frames(self, data: bytes) -> bytes:
        while (frame := re.match(rb"([1-9]\d{0,8}) ", data)) and len(data) >= frame.end() + int(frame[1]):
            end = frame.end() + int(frame[1])
            self.messages.append(parse(data[frame.end() : end]))
            data = data[end:]
        if data and not re.match(rb"[1-9]\d{0,8}(\Z| )", data):
            raise ValueError(f"no frame: {data[:40]!r}")
        return data


class HttpReceiver:
    """Takes POSTs. `answer` says what to answer to each: status, headers, body; it may take its time."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, str], bytes], tuple[int, dict[str, str], bytes]] = lambda head, body: (
            200,
            {},
            b"",
        )
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                head = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(head["content-length"]))
                if len(body) < int(head["content-length"]):  # who sent it was killed half-way
                    self.close_connection = True
                    return
                receiver.requests.append((head, body))
                status, fields, text = receiver.answer(head, body)
                self.send_response(status)
                for name, value in {"content-length": str(len(text)), **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def secure(self, tls: ssl.SSLContext) -> "HttpReceiver":
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Hook(HttpReceiver):
    """A webhook's receiver: takes what is signed right, each message once."""

    def __init__(self, key: bytes, port: int = 0) -> None:
        super().__init__(port)
        self.events: list[dict[str, Any]] = []
        self.again = 0
        self.wrong: list[str] = []
        self.status: Callable[[list[dict[str, Any]]], int] = lambda events: 204
        self._key = key
        self._known: set[str] = set()
        self.answer = self._judge

    def ids(self) -> list[str]:
        return [event["id"] for event in list(self.events)]

    def _judge(self, head: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        name, at = head["webhook-id"], head["webhook-timestamp"]
        want = base64.b64encode(hmac.new(self._key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
        if f"v1,{want}" not in head["webhook-signature"].split(" ") or abs(time.time() - int(at)) > 300:
            self.wrong.append(name)
            return 401, {}, b""
        events = json.loads(body)
        status = self.status(events)
        if status == 204:
            self.again += name in self._known
            self._known.add(name)
            self.events += events
        return status, {}, b""


class Collector(HttpReceiver):
    """An OTLP collector for logs."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.records: list[Any] = []
        self.resources: list[Any] = []
        self.reject = 0
        self.status = 200
        self.answer = self._take

    def ids(self) -> list[str]:
        return [json.loads(record.body.string_value)["id"] for record in list(self.records)]

    def _take(self, head: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        asked = ExportLogsServiceRequest.FromString(body)
        if self.status != 200:
            return self.status, {"location": "http://127.0.0.1:9/"}, b""
        answer = ExportLogsServiceResponse()
        if self.reject:
            answer.partial_success.rejected_log_records = self.reject
            answer.partial_success.error_message = "too old"
        for resource in asked.resource_logs:
            self.resources.append(resource.resource)
            for scope in resource.scope_logs:
                self.records += scope.log_records
        return 200, {"content-type": "application/x-protobuf"}, answer.SerializeToString()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file that a client trusts."""
    made = self_signed(folder)
    return made.server(), made.cert
