"""A journal that grows, and destinations that follow it in the keeper's own workers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.core.secret import Secret
from funcgate.recording.forward.build import forwarder
from funcgate.recording.keeper import worker as keeper
from funcgate.recording.keeper.settings import ForwardSettings, KeeperSettings
from funcgate.recording.keeper.worker import Planned, Worker
from funcgate.stores.lines import add_lines

ADA = Who("corp", 'ada "the" \\ ]\nCEF:0|x', ("payments",), None, "aa11")


class Growing:
    """A journal's folder, written as a gateway would; `ids` are those of the calls that have ended."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.seq = 0
        self.ids: list[str] = []
        (data / "journal").mkdir(parents=True)
        self.add(Entry(kind=Kind.ADMIN, call="", change={"segment": 1, "format": 1}))

    def add(self, *entries: Entry) -> None:
        lines = bytearray()
        self.seq = add_lines(lines, entries, self.seq, "2026-11-21T09:30:00.123456Z")
        with (self.data / "journal" / "00000001.jsonl").open("ab") as file:
            file.write(lines)

    def begin(self, call: str, **more: Any) -> None:
        fields: dict[str, Any] = {"args": Raw(b'{"amount":5}'), "trace": "0af7651916cd43dd8448eb211c80319c", **more}
        arrived = Entry(
            kind=Kind.ARRIVED, call=call, session="s-1", principal=ADA, function="shop.pay", target="shop",
            client="10.0.0.1:5001", **fields,
        )  # fmt: skip
        self.add(arrived, Entry(kind=Kind.ALLOWED, call=call, policy=Decided(("small",), "v1")))

    def end(self, call: str, **more: Any) -> None:
        fields: dict[str, Any] = {"outcome": "complete", "status": 200, "body": Raw(b'{"ok":"canary"}'), **more}
        self.add(Entry(kind=Kind.ENDED, call=call, **fields))
        self.ids.append(call)

    def calls(self, count: int, **more: Any) -> list[str]:
        made = [new_id() for _ in range(count)]
        for call in made:
            self.begin(call, **more)
            self.end(call)
        return made


class Following:
    """One destination's chore in the keeper's worker. `asked` is what it had recorded."""

    def __init__(self, growing: Growing, to: ForwardSettings, encryption: Secret | None = None) -> None:
        self.asked: list[Mapping[str, Any]] = []
        settings = KeeperSettings(data_dir=str(growing.data), encryption=encryption, forward=(to,))
        make = partial(forwarder, settings, to, self.asked.append)
        self.worker = Worker(Planned(to.name, to, make), growing.data / "journal", growing.seq)
        self.worker.start()
        self._growing = growing

    def go(self) -> None:
        """What has been written is durable."""
        self.worker.durable(self._growing.seq)

    def stop(self, within_s: float = 30.0) -> None:
        self.worker.stop(monotonic() + within_s)
        assert self.worker.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "TICK_S", 0.05)
    monkeypatch.setattr(keeper, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(keeper, "LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "data")


@pytest.fixture
def follow(growing: Growing) -> Iterator[Callable[..., Following]]:
    made: list[Following] = []

    def start(to: ForwardSettings, encryption: Secret | None = None) -> Following:
        made.append(Following(growing, to, encryption))
        return made[-1]

    yield start
    for one in made:
        one.worker.stop(monotonic() + 2)
        one.worker.join()
