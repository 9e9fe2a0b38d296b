"""Held calls: whether 10,000 approvals that wait slow down the calls that need none, and whether having such policies does."""

import asyncio
import contextlib
from pathlib import Path

import msgspec

from funcgate.core.approval import Approval, Asked, State
from funcgate.core.decision import Quorum, Terms
from funcgate.core.entry import Who
from funcgate.core.ids import new_id
from funcgate.stores.sql import Database, SqlApprovals

from .bed import Bed, tell
from .gateway import INTERVAL, PLAIN, gateway
from .peers import Peer, Shot, preflight
from .report import ratios
from .rounds import measure, summarize

PENDING = 10_000
CONNECTIONS = (16,)
FAR_S = 10 * 365 * 86400.0


def run(bed: Bed) -> None:
    """CPU a call of a gateway with nothing held, and of one with 10,000 pending approvals, in the same rounds."""
    effort = bed.options.effort._replace(connections=CONNECTIONS)
    with contextlib.ExitStack() as stack:
        entries: list[tuple[Peer, Shot]] = []
        for name, pending in (("nothing held", 0), (f"{PENDING} pending", PENDING)):
            folder = bed.folder / name.replace(" ", "-")
            state = folder / "data" / "state.db"
            made = stack.enter_context(gateway(bed.work, bed.upstream_port, folder, INTERVAL, PLAIN))
            peer = made.peer(name, "calls that need no approval")
            entries.append(
                (peer, preflight(peer, bed.work, bed.upstream_port))
            )  # holds one call: the database is there
            asyncio.run(_fill(state, pending))
        samples = measure(bed.loader, entries, effort, tell)
    names = [peer.name for peer, _ in entries]
    bed.results["held"] = msgspec.to_builtins(samples)
    print("CPU a call that needs no approval, as a multiple of the one with nothing held")
    print(ratios(summarize(samples, names[0], ""), names, CONNECTIONS, {}), end="\n\n")


async def _fill(state: Path, count: int) -> None:
    database = Database(state)
    store = SqlApprovals(database)
    for number in range(count):
        await store.open(_approval(number))
    await database.close()


def _approval(number: int) -> Approval:
    who = Who("corp", f"agent-{number}", ("agents",))
    asked = Asked(
        call=new_id(), function="payments.createTransfer", target="payments", principal=who,
        args=msgspec.Raw(b'{"amount":25000}'), digest=f"sha256:{number:064x}", schema="", version="",
    )  # fmt: skip
    terms = Terms(quorums=(Quorum(("group:finance",)),), expires_s=FAR_S)
    now = 1_800_000_000.0
    return Approval(
        id=new_id(), key=f"sha256:{number:064x}", state=State.PENDING, created_at=now, expires_at=now + FAR_S, asked=asked,
        terms=(terms,),
    )  # fmt: skip
