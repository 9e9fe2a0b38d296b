"""A target that speaks HTTP/2, on a real socket, in a thread of its own: the `h2` package, an implementation other than ours.

`RawTarget` says whatever bytes a test wants instead.
"""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from support.h2frames import GOAWAY, HEADERS, PREFACE, SETTINGS, frame

Fields = list[tuple[str, str]]


@dataclass
class H2Request:
    """One request as the target saw it. `never` are names of fields that were written never indexed."""

    connection: "H2Connection"
    stream: int
    headers: Fields
    never: set[str] = field(default_factory=set)
    body: bytes = b""
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reset_code: int | None = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self) -> str:
        return (self.header(":path") or "").partition("?")[0]

    @property
    def method(self) -> str:
        return self.header(":method") or ""

    async def answer(
        self, body: bytes = b'{"ok":true}', status: int = 200, extra: Fields = (), trailers: Fields = (), **more: Any
    ) -> None:  # fmt: skip
        """A whole answer; `length=False` leaves Content-Length out."""
        head = [(":status", str(status)), ("content-type", str(more.get("media", "application/json")))]
        if more.get("length", True):
            head.append(("content-length", str(len(body))))
        body = b"" if self.method == "HEAD" or status in (204, 304) else body
        self.head([*head, *extra], end=not body and not trailers)
        if body:
            await self.write(body, end=not trailers)
        if trailers:
            self.connection.state.send_headers(self.stream, list(trailers), end_stream=True)
            self.connection.flush()

    def head(self, fields: Fields, end: bool = False) -> None:
        self.connection.state.send_headers(self.stream, fields, end_stream=end)
        self.connection.flush()

    async def write(self, data: bytes, end: bool = False) -> None:
        """Within the windows; waits for room."""
        state = self.connection.state
        while data:
            room = min(state.local_flow_control_window(self.stream), state.max_outbound_frame_size, len(data))
            if room <= 0:
                await self.connection.roomier()
                continue
            piece, data = data[:room], data[room:]
            state.send_data(self.stream, piece, end_stream=end and not data)
            self.connection.flush()
            await self.connection.writer.drain()

    def reset(self, code: int) -> None:
        self.connection.state.reset_stream(self.stream, code)
        self.connection.flush()


Behaviour = Callable[[H2Request], Awaitable[None]]


class H2Connection:
    """One connection of the gateway's."""

    def __init__(self, target: "H2Target", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target = target
        self.reader = reader
        self.writer = writer
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.state = h2.connection.H2Connection(config)
        self.state.local_settings = h2.settings.Settings(client=False, initial_values=dict(target.settings))
        self.requests: dict[int, H2Request] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self.open = 0

    def flush(self) -> None:
        self.writer.write(self.state.data_to_send())

    async def roomier(self) -> None:
        self._room.clear()
        await self._room.wait()

    def goaway(self, last: int) -> None:
        """Past the package, which would send nothing more afterwards."""
        self.writer.write(frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4)))

    async def serve(self) -> None:
        self.state.initiate_connection()
        self.flush()
        try:
            while data := await self.reader.read(1 << 16):
                for event in self.state.receive_data(data):
                    self._on(event)
                self.flush()
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        finally:
            for request in self.requests.values():
                request.gone.set()
            for task in self.tasks:
                task.cancel()
            self.writer.close()

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived():
                self.requests[event.stream_id].body += event.data
                if self.target.reads:
                    self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.requests[event.stream_id].whole.set()
            case h2.events.StreamReset():
                request = self.requests[event.stream_id]
                request.reset_code = int(event.error_code)
                request.gone.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._room.set()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        raw: list[HeaderTuple] = event.headers
        request = H2Request(self, event.stream_id, [(name.decode(), value.decode("latin-1")) for name, value in raw])
        request.never = {next(iter(one)).decode() for one in raw if isinstance(one, NeverIndexedHeaderTuple)}
        self.requests[event.stream_id] = request
        self.target.ledger.append(request)
        task = asyncio.get_running_loop().create_task(self._behave(request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _behave(self, request: H2Request) -> None:
        target = self.target
        self.open += 1
        target.peak = max(target.peak, self.open)
        behaviour = target.answers.get(request.path, target.default)
        gone = asyncio.ensure_future(request.gone.wait())
        work = asyncio.ensure_future(behaviour(request))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        self.open -= 1
        for one in (work, gone):
            one.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def plainly(request: H2Request) -> None:
    """The whole request read, then a small answer."""
    await request.whole.wait()
    await request.answer()


class _Threaded:
    """A server in a thread of its own."""

    context: ssl.SSLContext | None = None

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Any:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def hang_up(self) -> None:
        """Cut every connection."""

        def cut() -> None:
            while self._writers:
                self._writers.pop().transport.abort()

        self.run(cut)

    def run(self, work: Callable[[], None]) -> None:
        """In the target's own thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)

    def _run(self) -> None:
        self._loop = loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.context))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        loop.run_forever()
        server.close()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class H2Target(_Threaded):
    """Start it, set `answers` by path, read `ledger`. `settings` are those of RFC 9113, 6.5.2, by number."""

    def __init__(self, context: ssl.SSLContext | None = None, settings: dict[int, int] | None = None) -> None:
        super().__init__()
        self.context = context
        self.settings: dict[int, int] = settings or {}
        self.forget()

    def forget(self) -> None:
        """Back to the beginning, between tests."""
        self.answers: dict[str, Behaviour] = {}
        self.default: Behaviour = plainly
        self.ledger: list[H2Request] = []
        self.peak = 0  # streams at once on one connection
        self.reads = True  # gives windows back
        self.live: list[H2Connection] = []

    def seen(self, path: str) -> list[H2Request]:
        return [request for request in self.ledger if request.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(self, reader, writer)
        self.live.append(connection)
        await connection.serve()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawTarget(_Threaded):
    """Runs `script` for each connection, and closes it afterwards."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.script(reader, writer)


HELLO = frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0)


async def until_asked(reader: asyncio.StreamReader) -> int:
    """Read up to the next HEADERS; the stream's number."""
    while True:
        head = await reader.readexactly(9)
        if head == PREFACE[:9]:
            await reader.readexactly(len(PREFACE) - 9)
            continue
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == HEADERS:
            return int.from_bytes(head[5:9], "big")
