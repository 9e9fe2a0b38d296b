"""A call that is over is gone at once: nothing of it waits for the garbage collector, in whose time memory only grows."""

import asyncio
import contextlib
import gc
import json
from collections import Counter
from pathlib import Path

import pytest
import uvloop
from ruamel.yaml import YAML

from funcgate.app.building import build, read_parts
from funcgate.core.meter import Meter
from funcgate.core.ports import Desk
from funcgate.gateway import Gateway
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.protocols.http.listener import HttpListener
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.journal_files import FileJournal
from support.authority import Authority
from support.gate import free_port, settings

BODY = json.dumps({"card": "4111 1111 1111 1111", "mail": "ada@example.com", "free": "call 202-555-0143"}).encode()
FUNCTIONS = [
    {"name": "sell", "http": "POST /sell", "args": {"amount": "integer"}},
    {"name": "stop", "http": "POST /stop"},
    {"name": "flow", "http": "GET /flow"},
]
POLICIES = [
    {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["*"]},
    {"name": "never", "effect": "deny", "functions": ["shop.stop"], "principals": ["*"]},
]
CALLS = [
    (b"POST /shop/sell HTTP/1.1", b'{"amount":5}', 200),
    (b"POST /shop/sell HTTP/1.1", b'{"amount":"5"}', 400),
    (b"POST /shop/stop HTTP/1.1", b"", 403),
    (b"POST /shop/none HTTP/1.1", b"", 403),
    (b"GET /shop/flow HTTP/1.1", b"", 200),
]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def serve_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with a body of a declared length, or in chunks."""
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError):
        await answer_all(reader, writer)


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        framing = b"Transfer-Encoding: chunked" if b"/flow" in head else b"Content-Length: %d" % len(BODY)
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) if b"/flow" in head else BODY
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n" + body)


async def play(connection: Connection, token: str, rounds: int) -> None:
    """All calls, one after the other, on one connection."""
    reader, writer = connection
    for line, body, wanted in CALLS * rounds:
        head = (
            b"%b\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        writer.write(head % (line, token.encode(), len(body)) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d" % wanted), (line, answer)
        if b"chunked" in answer:
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.readexactly(int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def test_nothing_of_a_call_is_left_to_the_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[object] = []

    async def test(target: asyncio.Server, file: Path, token: str) -> None:
        parts = read_parts(file, serving=True)
        journal, meter, sweeper = FileJournal(tmp_path / "journal"), Meter(), Sweeper()
        await journal.start()
        await parts.issuers.start()
        built = build(parts, HttpPools(sweeper))
        gateway = Gateway(journal, NoDesk(), meter, Unknowns(journal), lambda: built.site.snapshot)
        listener = HttpListener(gateway, meter, ListenerLimits(), built.site, sweeper)
        await listener.start("127.0.0.1", 0)
        connection = await asyncio.open_connection("127.0.0.1", listener.port)
        await play(connection, token, 3)
        gc.collect()
        gc.disable()
        try:
            await play(connection, token, 10)
            await journal.flush()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left.extend(one for one in gc.garbage if type(one).__module__.startswith("funcgate"))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        connection[1].close()
        await listener.drain(5)
        await parts.issuers.close()
        await journal.close()

    async def whole() -> None:
        authority = Authority(tmp_path)
        target = await asyncio.start_server(serve_target, "127.0.0.1", free_port())
        url = f"http://127.0.0.1:{target.sockets[0].getsockname()[1]}"
        file = tmp_path / "funcgate.yaml"
        config = settings(authority, url, FUNCTIONS, policies=POLICIES, data_dir=str(tmp_path / "data"))
        config["masking"] = [{"functions": ["shop.*"], "detect": "all"}]
        with file.open("w") as out:
            YAML().dump(config, out)
        monkeypatch.setenv("SHOP_KEY", "canary-7f3a9c51e2b84d06")
        await test(target, file, authority.token())
        target.close()

    uvloop.run(whole())
    assert Counter(type(one).__qualname__ for one in left) == {}


class NoDesk(Desk):
    """No call here is held."""
