"""CSV (RFC 4180): one row for each call, a header line, no cell that a spreadsheet would run."""

import csv
import io
import re
from collections.abc import Mapping
from typing import ClassVar

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord

from .form import text_of

COLUMNS = (
    "call", "at", "ended_at", "issuer", "subject", "groups", "acts_for", "actor", "token", "client", "session", "trace",
    "function", "target", "decision", "policies", "policy_version", "code", "detail", "reason", "outcome", "status",
    "body_bytes", "masked", "duration_us", "count", "digest", "args",
)  # fmt: skip
_RUNS = re.compile(r"(\A(?=[\t\r\n])|(?:\A|[;\t\r\n])(?=[\s\ufeff\u200b]*[=+\-@＝＋－＠]))")


class Csv:
    suffix: ClassVar[str] = "csv"
    admin: ClassVar[bool] = False
    content: ClassVar[bool] = True
    appends: ClassVar[bool] = True

    def header(self) -> bytes:
        return _line(COLUMNS)

    def row(self, what: CallRecord | Entry) -> bytes:
        return _line(map(_harmless, cells_of(what))) if isinstance(what, CallRecord) else b""

    def footer(self) -> bytes:
        return b""


def cells_of(call: CallRecord) -> tuple[str, ...]:
    """The values of `COLUMNS`."""
    who, policy = call.principal, call.policy
    return (
        call.id, call.at, call.ended_at,
        who.issuer if who else "", who.subject if who else "", " ".join(who.groups) if who else "",
        (who.acts_for or "") if who else "", (who.actor or "") if who else "", who.token if who else "",
        call.client, call.session, call.trace, call.function, call.target, call.decision,
        ", ".join(policy.names) if policy else "", policy.version if policy else "", call.code, call.detail, call.reason,
        call.outcome, _number(call.status), _number(call.body_bytes), _counts(call.masked),
        _number(sum(call.timing_us.values())), _number(call.count), call.digest, text_of(call.args),
    )  # fmt: skip


def _number(value: int) -> str:
    return str(value) if value else ""


def _counts(masked: Mapping[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in sorted(masked.items()))


def _harmless(cell: str) -> str:
    # Attack: a subject or an argument such as =HYPERLINK(…) that a spreadsheet runs as a formula; also behind a character
    # that it may take for the end of a cell, where its separator is not the comma.
    if cell and _RUNS.search(cell) is not None:
        cell = _RUNS.sub(r"\1'", cell)
    return cell.replace("\0", "�")


def _line(cells: "map[str] | tuple[str, ...]") -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerow(cells)
    return out.getvalue().encode("utf-8", "backslashreplace")
