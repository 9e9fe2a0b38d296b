"""The same of calls over HTTP/2, gRPC among them: nothing of one that is over waits for the garbage collector."""

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from ruamel.yaml import YAML

from funcgate.app.building import build, read_parts
from funcgate.core.meter import Meter
from funcgate.core.ports import Desk
from funcgate.gateway import Gateway
from funcgate.protocols.grpc.service import GrpcService
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.protocols.http.listener import HttpListener
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.journal_files import FileJournal
from funcgate.wire.grpc import frame
from support.authority import Authority
from support.grpc_gate import grpc_settings
from support.ledger import PROTO, SERVICE, LedgerTarget, new

MESSAGE = frame(new("TransferRequest").SerializeToString())
CALLS = [(f"/{SERVICE}/Transfer", MESSAGE), (f"/{SERVICE}/None", MESSAGE), (f"/{SERVICE}/Transfer", b"\x00")]


async def play(client: httpx.AsyncClient, token: str, rounds: int) -> list[str]:
    """All calls, one after the other, on one connection; their statuses."""
    fields = {
        "authorization": f"Bearer {token}",
        "funcgate-target": "ledger",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    replies = [await client.post(path, content=body, headers=fields) for path, body in CALLS * rounds]
    return [reply.headers.get("grpc-status", "") for reply in replies]


async def left_by(run: Callable[[int], Any], journal: FileJournal) -> list[object]:
    """What ten rounds leave to the collector."""
    await run(3)
    gc.collect()
    gc.disable()
    try:
        statuses = await run(10)
        await journal.flush()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert statuses == ["", "7", "3"] * 10  # a success says it in its trailers
        return [one for one in gc.garbage if type(one).__module__.startswith("funcgate")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_nothing_of_an_rpc_is_left_to_the_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, ledger = Authority(tmp_path), LedgerTarget().start()
    config = grpc_settings(authority, ledger, target={"functions": {"proto": [str(PROTO)]}})
    config |= {"data_dir": str(tmp_path / "data"), "masking": [{"functions": ["ledger.*"], "detect": "all"}]}
    file = tmp_path / "funcgate.yaml"
    with file.open("w") as out:
        YAML().dump(config, out)
    monkeypatch.setenv("SHOP_KEY", "canary-7f3a9c51e2b84d06")

    async def whole() -> list[object]:
        parts = read_parts(file, serving=True)
        journal, meter, sweeper = FileJournal(tmp_path / "journal"), Meter(), Sweeper()
        await journal.start()
        await parts.issuers.start()
        built = build(parts, HttpPools(sweeper))
        gateway = Gateway(journal, NoDesk(), meter, Unknowns(journal), lambda: built.site.snapshot)
        listener = HttpListener(gateway, meter, ListenerLimits(), built.site, sweeper)
        listener.grpc = GrpcService(gateway, ListenerLimits(), built.grpc, lambda: True)
        await listener.start("127.0.0.1", 0)
        url, token = f"http://127.0.0.1:{listener.port}", authority.token()
        kept = httpx.Limits(keepalive_expiry=None)  # a slow collection is no reason for another connection
        async with httpx.AsyncClient(base_url=url, http2=True, http1=False, timeout=60, limits=kept) as client:
            left = await left_by(lambda rounds: play(client, token, rounds), journal)
        await listener.drain(5)
        await parts.issuers.close()
        await journal.close()
        return left

    try:
        left = uvloop.run(whole())
    finally:
        ledger.stop()
    assert Counter(type(one).__qualname__ for one in left) == {}


class NoDesk(Desk):
    """No call here is held."""
