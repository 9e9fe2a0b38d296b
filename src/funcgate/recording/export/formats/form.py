"""What a format is, and the few readings of a call that all formats share."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Protocol

import msgspec

from funcgate.core.entry import Entry, Kind
from funcgate.recording.calls import CallRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unavailable(Exception):
    """A format needs a library that is not installed. Its text says which, and how to get it."""


class Format(Protocol):
    """Calls and entries into bytes, one after the other. One object writes one output, from `header` to `footer`.

    `admin` says that it has words for what administrators did, `content` that it shows arguments and answers, `appends`
    that an output broken off after any row can be continued by a new object without its header.
    """

    suffix: ClassVar[str]
    admin: ClassVar[bool]
    content: ClassVar[bool]
    appends: ClassVar[bool]

    def header(self) -> bytes: ...

    def row(self, what: CallRecord | Entry) -> bytes:
        """May be empty, where rows are collected."""
        ...

    def footer(self) -> bytes: ...


def milliseconds(at: str) -> int:
    """Unix time in milliseconds of a time as the journal writes it, 0 for ""."""
    if not at:
        return 0
    return (datetime.fromisoformat(at) - _EPOCH) // timedelta(milliseconds=1)


def nanoseconds(at: str) -> int:
    """The same in nanoseconds; the journal's microseconds are kept."""
    if not at:
        return 0
    return (datetime.fromisoformat(at) - _EPOCH) // timedelta(microseconds=1) * 1000


def text_of(content: msgspec.Raw | str | None) -> str:
    """Arguments or a body as text: JSON where it is JSON."""
    return "" if content is None else content if isinstance(content, str) else bytes(content).decode()


def severity_of(call: CallRecord) -> int:
    """From 1 (for information) over 2 (refused by policy, failed) to 3 (a caller who was not who they said)."""
    if call.code.startswith("identity."):
        return 3
    return 2 if call.code or call.outcome in ("failed", "cut", "unknown") else 1


def host_and_port(client: str) -> tuple[str, int]:
    """``10.0.0.1:5`` or ``[::1]:5``; port 0 where there is none."""
    host, colon, port = client.rpartition(":")
    if not colon or not port.isdecimal():
        return client, 0
    return host.strip("[]"), int(port)


def change_of(entry: Entry) -> str:
    """What an administrator or an approver did, in one word: ``configuration``, ``hold``, ``export``, ``answer``, …"""
    if entry.kind is Kind.ANSWERED:
        return "answer"
    what = entry.change.get("what")
    return str(what) if what else next(iter(entry.change), "change")


def who_of(entry: Entry) -> str:
    """Who did it; "" for the gateway itself."""
    if entry.principal is not None:
        return entry.principal.subject
    by = entry.change.get("by", "")
    named = (
        next((by[name] for name in ("user", "subject", "chore") if by.get(name)), "") if isinstance(by, Mapping) else by
    )
    return str(named)
