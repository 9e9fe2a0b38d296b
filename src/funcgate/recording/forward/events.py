"""An event as JSON: one for each call when it has ended, one for each thing that an administrator or approver did."""

from typing import Any

import msgspec

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord
from funcgate.recording.export.formats.form import change_of, who_of

_encode = msgspec.json.Encoder().encode


def event_of(what: CallRecord | Entry) -> dict[str, Any]:
    """``{type: "call", id, at, principal, function, decision, policy, outcome, …}`` or ``{type: "admin", …}``. Without
    empty members and without the entries."""
    if isinstance(what, Entry):
        return {"type": "admin", "id": id_of(what), "at": what.at, "what": change_of(what)} | _full(
            seq=what.seq, who=who_of(what), outcome=what.outcome, change=dict(what.change), call=what.call,
            approval=what.approval, detail=what.detail,
        )  # fmt: skip
    members = {name: getattr(what, name) for name in what.__struct_fields__ if name not in ("entries", "id", "at")}
    return {"type": "call", "id": what.id, "at": what.at} | _full(**members)


def json_of(what: CallRecord | Entry) -> bytes:
    """On one line."""
    return _encode(event_of(what))


def id_of(what: CallRecord | Entry) -> str:
    """The same for the same event, in whatever journal order it is read again."""
    return f"seq-{what.seq}" if isinstance(what, Entry) else what.id


def _full(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and value not in ("", 0, {}, ())}
