"""Entries with content, a data folder, and a journal in memory behind `Contents`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Entry, Kind, Who
from funcgate.recording.contents import Contents
from funcgate.stores.memory import MemoryJournal

KEY = bytes(range(32))
WHO = Who("corp", "ann", ("agents",), token="t1")


@pytest.fixture
def key() -> bytes:
    return KEY


@pytest.fixture
def arrived() -> Callable[..., Entry]:
    """What a call begins with."""

    def make(call: str = "c1", args: bytes = b'{"a":1}', **fields: Any) -> Entry:
        given = {
            "session": "s1",
            "target": "shop",
            "function": "shop.buy",
            "client": "10.0.0.1",
            "reason": "why",
        } | fields
        return Entry(kind=Kind.ARRIVED, call=call, principal=WHO, args=Raw(args), **given)

    return make


@pytest.fixture
def chunk() -> Callable[..., Entry]:
    """What a call is answered with."""

    def make(body: Raw | str, call: str = "c1", **fields: Any) -> Entry:
        return Entry(kind=Kind.CHUNK, call=call, session="s1", function="shop.buy", status=200, body=body, **fields)

    return make


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., list[Entry]]:
    """Append each entry by itself, as a gateway would; returns the lines as they are read back."""

    def run(*entries: Entry, **options: Any) -> list[Entry]:
        async def play() -> list[Entry]:
            inner = MemoryJournal()
            contents = Contents(inner, tmp_path, **options)
            contents.check()
            for entry in entries:
                await contents.append(entry)
            await contents.close()
            return inner.entries

        return asyncio.run(play())

    return run
