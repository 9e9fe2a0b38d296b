"""Calls put together from their entries: one record for each call, whatever became of it."""

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from funcgate.core.entry import Decided, Entry, Kind, Who

from .tape import PIECE_URL, as_json, as_text


class CallRecord(Struct, kw_only=True, omit_defaults=True):
    """What the journal tells of one call.

    `at` is when it arrived (or was refused), `ended_at` when it ended, "" if the journal does not say so: RFC 3339, UTC.
    `decision` is ``allow``, ``ask`` (held for an approval), ``deny``, or ``none`` when the journal holds none. `code` and
    `detail` say why it was refused or failed. `body` of a streamed answer is that of its pieces, joined: JSON where the whole
    is JSON (by `media`), else text or a `data:` URL. `body_cut` says that a part of what was recorded is not here: its content
    has expired, or is sealed. `count` above 0: the record stands for so many refusals of unknown callers.
    `entries` are all there are, in the order of the journal.
    """

    id: str
    at: str
    ended_at: str = ""
    principal: Who | None = None
    function: str = ""
    target: str = ""
    session: str = ""
    args: msgspec.Raw | None = None
    digest: str = ""
    client: str = ""
    trace: str = ""
    reason: str = ""
    decision: str = "none"
    policy: Decided | None = None
    code: str = ""
    detail: str = ""
    outcome: str = ""
    status: int = 0
    body: msgspec.Raw | str | None = None
    body_bytes: int = 0
    body_cut: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    media: str = ""
    masked: Mapping[str, int] = {}
    timing_us: Mapping[str, int] = {}
    count: int = 0
    entries: tuple[Entry, ...] = ()


_FIRST = ("principal", "function", "target", "session", "args", "digest", "client", "trace", "reason", "count", "media")
_LAST = ("policy", "code", "detail", "outcome", "status", "body", "body_bytes", "body_cut", "masked", "timing_us")
_DECISIONS = ((Kind.ASKED, "ask"), (Kind.ALLOWED, "allow"), (Kind.DENIED, "deny"))


def record_of(entries: Iterable[Entry]) -> CallRecord:
    """The record of one call, from all its entries in the order of the journal. At least one entry."""
    entries = tuple(entries)
    record = CallRecord(id=entries[0].call, at=entries[0].at, entries=entries)
    for entry in entries:
        for name in _FIRST:
            if not getattr(record, name):
                setattr(record, name, getattr(entry, name))
        for name in _LAST:
            if value := getattr(entry, name):
                setattr(record, name, value)
        if entry.kind is Kind.ENDED:
            record.ended_at = entry.at
    record.fields = tuple(field for entry in entries for field in entry.fields)
    pieces = [entry for entry in entries if entry.kind is Kind.CHUNK and (entry.piece or entry.body_bytes)]
    if pieces and (pieces[0].piece or pieces[0].body is None):
        _join(record, pieces)
    kinds = {entry.kind for entry in entries}
    record.decision = next((decision for kind, decision in _DECISIONS if kind in kinds), "none")
    return record


def _join(record: CallRecord, pieces: Sequence[Entry]) -> None:
    """Put the pieces of a stream together, or tell that the body is not here."""
    here = [piece.body for piece in pieces if piece.body is not None]
    record.body_cut = len(here) < len(pieces)
    body = b"".join(map(_bytes_of, here))
    record.body = (
        (None if record.body_cut else as_json(body, record.media)) or as_text(body, record.media) if here else None
    )
    if record.outcome in ("", "unknown"):  # an end that says how much went out is still to come, or was lost
        record.body_bytes = sum(piece.body_bytes for piece in pieces)
        record.masked = dict(sum((Counter(piece.masked) for piece in pieces), Counter()))


def _bytes_of(body: msgspec.Raw | str) -> bytes:
    """A piece as it went to the caller: text, or the `data:` URL of what is not UTF-8 (or begins like one)."""
    if isinstance(body, msgspec.Raw):
        return bytes(body)
    if body.startswith(PIECE_URL):
        try:
            return base64.b64decode(body.removeprefix(PIECE_URL), validate=True)
        except binascii.Error:
            pass  # not written by this version: shown as it stands
    return body.encode("utf-8", "surrogatepass")
