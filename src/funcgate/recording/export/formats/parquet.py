"""Parquet by pyarrow, which is an extra: one row for each call, typed columns, row groups of bounded size."""

import io
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord

from .form import Unavailable, nanoseconds, text_of

GROUP_ROWS = 10_000
GROUP_BYTES = 32 << 20


class Parquet:
    suffix: ClassVar[str] = "parquet"
    admin: ClassVar[bool] = False
    content: ClassVar[bool] = True
    appends: ClassVar[bool] = False  # its footer names every row group of the file

    def __init__(self) -> None:
        try:
            arrow = import_module("pyarrow")
            writing = import_module("pyarrow.parquet")
        except ImportError:
            raise Unavailable(
                "the parquet format needs pyarrow, which is not installed: pip install 'funcgate[parquet]'"
            ) from None
        self._arrow = arrow
        self._schema = _schema(arrow)
        self._out = _Drain()
        self._writer = writing.ParquetWriter(self._out, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def header(self) -> bytes:
        return self._out.drained()

    def row(self, what: CallRecord | Entry) -> bytes:
        if isinstance(what, Entry):
            return b""
        row = _row(what)
        self._rows.append(row)
        self._bytes += 1000 + len(row["args"] or "") + len(row["body"] or "")
        return self._group() if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES else b""

    def footer(self) -> bytes:
        group = self._group() if self._rows else b""
        self._writer.close()
        return group + self._out.drained()

    def _group(self) -> bytes:
        self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0
        return self._out.drained()


def joined(parts: Iterable[Path]) -> Iterator[bytes]:
    """One file of several, row group by row group."""
    writing, out, writer = import_module("pyarrow.parquet"), _Drain(), None
    for path in parts:
        with writing.ParquetFile(path) as part:
            if writer is None:
                writer = writing.ParquetWriter(out, part.schema_arrow, compression="zstd")
            for number in range(part.num_row_groups):
                writer.write_table(part.read_row_group(number))
                yield out.drained()
    if writer is not None:
        writer.close()
    yield out.drained()


class _Drain(io.RawIOBase):
    """A file that is taken away piece by piece, so that it never stands in memory whole."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, piece: Any) -> int:
        data = bytes(piece)
        self._pieces.append(data)
        self._at += len(data)
        return len(data)

    def drained(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _schema(arrow: Any) -> Any:
    text, time = arrow.string(), arrow.timestamp("us", tz="UTC")
    counts = arrow.map_(text, arrow.int64())
    columns = {
        "call": text, "at": time, "ended_at": time, "issuer": text, "subject": text, "groups": arrow.list_(text),
        "acts_for": text, "actor": text, "token": text, "client": text, "session": text, "trace": text, "function": text,
        "target": text, "decision": text, "policies": arrow.list_(text), "policy_version": text, "code": text,
        "detail": text, "reason": text, "outcome": text, "status": arrow.int32(), "body_bytes": arrow.int64(),
        "body_cut": arrow.bool_(), "masked": counts, "timing_us": counts, "count": arrow.int64(), "digest": text,
        "args": text, "body": text,
    }  # fmt: skip
    return arrow.schema(list(columns.items()))


def _row(call: CallRecord) -> dict[str, Any]:
    who, policy = call.principal, call.policy
    row = {
        "call": call.id, "at": _time(call.at), "ended_at": _time(call.ended_at), "client": call.client,
        "session": call.session, "trace": call.trace, "function": call.function, "target": call.target,
        "decision": call.decision, "code": call.code, "detail": call.detail, "reason": call.reason,
        "outcome": call.outcome, "status": call.status or None, "body_bytes": call.body_bytes, "body_cut": call.body_cut,
        "masked": list(call.masked.items()), "timing_us": list(call.timing_us.items()), "count": call.count or None,
        "digest": call.digest, "args": text_of(call.args), "body": text_of(call.body),
        "policies": list(policy.names) if policy else [], "policy_version": policy.version if policy else "",
        "groups": list(who.groups) if who else [],
    }  # fmt: skip
    if who is not None:
        row |= {
            "issuer": who.issuer,
            "subject": who.subject,
            "acts_for": who.acts_for,
            "actor": who.actor,
            "token": who.token,
        }
    return {name: value if value != "" else None for name, value in row.items()}


def _time(at: str) -> int | None:
    return nanoseconds(at) // 1000 if at else None
