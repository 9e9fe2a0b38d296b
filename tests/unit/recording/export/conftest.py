"""A journal of calls of every kind."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.stores.journal_files import FileJournal

T0 = 1_790_000_000.0
ADA, EVE = (
    Who("corp", "ada", ("payments", "eu"), "carol", "aa11", "agent-7"),
    Who("corp", "=cmd|' /C calc'!A0", ("ci",)),
)
V1 = "f" * 64


class Written:
    """The journal's folder, and the calls' ids by name."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.journal = data / "journal"
        self.ids: dict[str, str] = {}
        self.clock = T0

    def arrived(self, name: str, who: Who, function: str = "shop.pay", **more: Any) -> Entry:
        self.clock += 1
        call = self.ids[name] = new_id(self.clock)
        fields: dict[str, Any] = {"args": Raw(b'{"amount":5,"note":"two\\nlines"}'), "client": "10.0.0.1:5001"}
        return Entry(
            kind=Kind.ARRIVED, call=call, session=f"s-{name}", principal=who, function=function, target="shop",
            digest="sha256:aa", trace="0af7651916cd43dd8448eb211c80319c", **(fields | more),
        )  # fmt: skip

    def then(self, name: str, kind: Kind, **more: Any) -> Entry:
        return Entry(kind=kind, call=self.ids[name], function=more.pop("function", "shop.pay"), **more)

    def write(self, play: "Callable[[FileJournal], Any]", **options: Any) -> None:
        async def run() -> None:
            self.data.mkdir(mode=0o700, exist_ok=True)
            journal = FileJournal(self.journal, **{"min_free_bytes": 0, "now": lambda: self.clock, **options})
            await journal.start()
            await play(journal)
            await journal.close()

        asyncio.run(run())


async def everything(story: Written, journal: FileJournal) -> None:
    """Calls of every kind, and one that is still open."""
    allow = Decided(("small",), V1)
    paid = story.arrived("paid", ADA)
    open_ = story.arrived("open", ADA)
    await journal.append(
        Entry(kind=Kind.ADMIN, call="", outcome="complete", change={"what": "configuration", "new": V1}),
        paid, open_,
        story.then("paid", Kind.ALLOWED, policy=allow), story.then("open", Kind.ALLOWED, policy=allow),
        story.then("paid", Kind.ENDED, outcome="complete", status=201, body=Raw(b'{"ok":true}'), body_bytes=11,
                   masked={"email": 2}, timing_us={"send": 1500}, policy=allow),
    )  # fmt: skip
    big = Decided(("big", "second|pair"), V1)
    await journal.append(
        story.arrived("held", EVE, client="[2001:db8::1]:443"), story.then("held", Kind.ASKED, policy=big),
        story.then("held", Kind.DENIED, code="approval.pending", detail="a\r\nb=c|d\\e", policy=big),
        story.then("held", Kind.ENDED, outcome="refused", code="approval.pending"),
    )  # fmt: skip
    story.clock += 1
    story.ids["stranger"] = new_id(story.clock)
    await journal.append(
        story.then(
            "stranger", Kind.DENIED, code="identity.missing", client="10.9.9.9:1", function="", target="shop", count=7
        )
    )
    await journal.append(
        Entry(kind=Kind.ANSWERED, call=story.ids["held"], approval="a-1", principal=ADA, outcome="approve"),
        story.arrived("cut", ADA), story.then("cut", Kind.ALLOWED, policy=allow),
        story.then("cut", Kind.ENDED, outcome="cut", status=200, body="text", body_bytes=9000, body_cut=True),
    )  # fmt: skip


@pytest.fixture
def make_written(tmp_path: Path) -> Callable[[], Written]:
    return lambda: Written(tmp_path / "data")


@pytest.fixture
def written(make_written: Callable[[], Written]) -> Written:
    story = make_written()
    story.write(lambda journal: everything(story, journal))
    return story
