"""ArcSight Common Event Format, version 0: one line for each call or change, metadata only."""

from collections.abc import Iterator
from importlib.metadata import version
from ipaddress import ip_address
from typing import ClassVar

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord

from .form import change_of, host_and_port, milliseconds, severity_of, who_of

_VERSION = version("funcgate")
_SEVERITY = {1: 1, 2: 5, 3: 7}  # CEF: 0 to 3 low, 4 to 6 medium, 7 and 8 high
_OUTCOMES = {"allow": "success", "deny": "failure", "ask": "pending", "none": "failure"}
_MAX_VALUE = 1023  # of most keys of the dictionary


class Cef:
    suffix: ClassVar[str] = "cef"
    admin: ClassVar[bool] = True
    content: ClassVar[bool] = False
    appends: ClassVar[bool] = True

    def header(self) -> bytes:
        return b""

    def row(self, what: CallRecord | Entry) -> bytes:
        return f"{cef_of(what)}\n".encode("utf-8", "backslashreplace")

    def footer(self) -> bytes:
        return b""


def cef_of(what: CallRecord | Entry) -> str:
    """The event on one line, without its end."""
    if isinstance(what, Entry):
        name = f"administration: {change_of(what)}"
        return _event("admin", name, 3, _of_change(what))
    event = f"call.{what.code}" if what.code else f"call.{what.decision}"
    return _event(event, f"{what.function or what.target or 'call'} {what.decision}", _severity(what), _of_call(what))


def _severity(call: CallRecord) -> int:
    return _SEVERITY[severity_of(call)]


def _event(event: str, name: str, severity: int, extension: Iterator[tuple[str, str]]) -> str:
    header = ("CEF:0", "funcgate", "funcgate", _VERSION, event, name, str(severity))
    pairs = " ".join(f"{key}={_value(value)}" for key, value in extension if value)
    return f"{'|'.join((header[0], *map(_header, header[1:])))}|{pairs}"


def _of_call(call: CallRecord) -> Iterator[tuple[str, str]]:
    who, policy = call.principal, call.policy
    host, port = host_and_port(call.client)
    yield "rt", str(milliseconds(call.ended_at or call.at))
    yield "start", str(milliseconds(call.at))
    yield "end", str(milliseconds(call.ended_at) or "")
    yield "externalId", call.id
    if who is not None:
        yield "suid", who.subject
        yield "suser", who.acts_for or who.subject
        yield "sntdom", who.issuer
        yield "spriv", ",".join(who.groups)
    yield from _source(host)
    yield "spt", str(port or "")
    yield "act", call.decision
    yield "outcome", _outcome(call)
    yield "reason", call.code
    yield "request", call.function
    yield "destinationServiceName", call.target
    yield "cnt", str(call.count or "")
    yield "out", str(call.body_bytes or "")
    yield from _labelled(1, "policies", ", ".join(policy.names) if policy else "")
    yield from _labelled(2, "policyVersion", policy.version if policy else "")
    yield from _labelled(3, "session", call.session)
    yield from _labelled(4, "traceparent", call.trace)
    yield from _labelled(5, "argumentsDigest", call.digest)
    yield from _labelled(6, "masked", " ".join(f"{name}:{count}" for name, count in sorted(call.masked.items())))
    if call.status:
        yield "cn1Label", "status"
        yield "cn1", str(call.status)
    yield "msg", call.detail


def _of_change(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "rt", str(milliseconds(entry.at))
    yield "externalId", str(entry.seq)
    yield "act", change_of(entry)
    yield "suser", who_of(entry)
    yield "outcome", entry.outcome
    yield from _labelled(1, "approval", entry.approval)
    yield from _labelled(2, "call", entry.call)
    yield "msg", entry.detail


def _outcome(call: CallRecord) -> str:
    if call.decision == "allow" and call.outcome not in ("", "complete"):
        return "failure"
    return _OUTCOMES[call.decision]


def _labelled(number: int, label: str, value: str) -> Iterator[tuple[str, str]]:
    if value:
        yield f"cs{number}Label", label
        yield f"cs{number}", value


def _source(host: str) -> Iterator[tuple[str, str]]:
    try:
        address = ip_address(host)
    except ValueError:
        yield "shost", host
        return
    if address.version == 6:
        yield "c6a2Label", "Source IPv6 Address"
    yield "src" if address.version == 4 else "c6a2", str(address)


def _header(text: str) -> str:
    # Attack: a function's or a code's name with a pipe or a line break that begins a field, or an event, of its own.
    return _one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    # Attack: a subject such as "a act=allow" that writes a key of its own. With "=" escaped it stays a value.
    text = text[:_MAX_VALUE].replace("\\", "\\\\").replace("=", "\\=")
    return _one_line(text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\r"))


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)
