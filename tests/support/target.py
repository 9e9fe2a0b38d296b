"""A target on a real socket, in a thread of its own. It keeps a ledger of every request that reached it, byte by byte.

What it answers is set per path: bytes to send as they are, or a coroutine that does as it likes with the connection.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httptools

Behaviour = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """One request as the target saw it."""

    method: str = ""
    url: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    cancelled: bool = False

    @property
    def path(self) -> str:
        return self.url.partition("?")[0]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def answer(
    body: bytes = b'{"ok":true}', status: int = 200, media: str = "application/json", extra: bytes = b""
) -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + extra + b"\r\n" + body


def chunked(pieces: list[bytes], media: str = "application/json", trailers: bytes = b"") -> bytes:
    """A whole chunked answer."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = f"HTTP/1.1 200 X\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + body + b"0\r\n" + trailers + b"\r\n"


class _Reader:
    def __init__(self) -> None:
        self.request = Received()
        self.done = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.request.url += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.request.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.request.body += body

    def on_message_complete(self) -> None:
        self.request.method = self.parser.get_method().decode()
        self.done = True


class Target:
    """Start it, set `answers`, read `ledger`."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Behaviour] = {}
        self.default: bytes | Behaviour = answer()
        self.ledger: list[Received] = []
        self.connections = 0
        self.port = 0
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Target":
        self._thread.start()
        self._started.wait(10)
        return self

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def forget(self) -> None:
        """Back to the beginning, between tests."""
        self.answers.clear()
        self.default = answer()
        self.ledger.clear()

    def seen(self, path: str) -> list[Received]:
        return [request for request in self.ledger if request.path == path]

    def _run(self) -> None:
        self._loop = loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, httptools.HttpParserError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        parsing = _Reader()
        while not parsing.done:
            data = await reader.read(65536)
            if not data:
                return False
            parsing.parser.feed_data(data)
        request = parsing.request
        self.ledger.append(request)
        behaviour = self.answers.get(request.path, self.default)
        if isinstance(behaviour, bytes):
            head, blank, body = behaviour.partition(b"\r\n\r\n")
            writer.write(head + blank + (b"" if request.method == "HEAD" else body))
            await writer.drain()
        else:
            await self._behave(behaviour, request, reader, writer)
        return not writer.is_closing()

    async def _behave(
        self, behaviour: Behaviour, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Run it until it is done or the gateway hangs up, whichever is first."""
        work = asyncio.ensure_future(behaviour(request, writer))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            request.cancelled = True
            work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)
