"""Syslog messages (RFC 5424) in frames that count octets (RFC 6587, 3.4.1). Pure: events in, bytes out."""

import socket
from collections.abc import Callable, Iterator, Mapping

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord
from funcgate.recording.export.formats.cef import cef_of
from funcgate.recording.export.formats.form import change_of, severity_of
from funcgate.recording.export.formats.ocsf import Ocsf

from .events import id_of, json_of

FACILITY = 13  # log audit
_SEVERITY = {1: 6, 2: 5, 3: 4}  # informational, notice, warning
SD_ID = "funcgate@32473"  # the enterprise number for documentation (RFC 5612): funcgate has none of its own
_MAX_PARAM = 1000

TEXTS: Mapping[str, Callable[[CallRecord | Entry], bytes]] = {
    "rfc5424": json_of,
    "cef": lambda what: cef_of(what).encode("utf-8", "backslashreplace"),
    "ocsf": lambda what: Ocsf().row(what).rstrip(b"\n"),
}


def hostname() -> str:
    """This machine's name, as the header may hold it."""
    return _printable(socket.gethostname(), 255)


def framed(what: CallRecord | Entry, text: bytes, host: str) -> bytes:
    """The event's message with `text` as its MSG, behind its length."""
    if isinstance(what, CallRecord):
        at, severity, kind = what.ended_at or what.at, _SEVERITY[severity_of(what)], f"call.{what.decision}"
    else:
        at, severity, kind = what.at, 5, "admin"
    data = "".join(f' {name}="{_param(value)}"' for name, value in _params(what) if value)
    head = f"<{FACILITY * 8 + severity}>1 {at or '-'} {host} funcgate - {kind} [{SD_ID}{data}] "
    message = head.encode("utf-8", "backslashreplace") + text
    return b"%d %b" % (len(message), message)


def _params(what: CallRecord | Entry) -> Iterator[tuple[str, str]]:
    yield "id", id_of(what)
    if isinstance(what, Entry):
        yield "what", change_of(what)
        yield "outcome", what.outcome
        return
    who = what.principal
    yield "subject", who.subject if who else ""
    yield "issuer", who.issuer if who else ""
    yield "function", what.function
    yield "target", what.target
    yield "decision", what.decision
    yield "policies", ", ".join(what.policy.names) if what.policy else ""
    yield "code", what.code
    yield "outcome", what.outcome
    yield "status", str(what.status or "")
    yield "session", what.session
    yield "client", what.client


def _param(text: str) -> str:
    """RFC 5424, 6.3.3: quote, backslash and closing bracket are escaped."""
    # Attack: a line break in a subject, that a receiver which writes lines turns into an event of its own.
    text = text[:_MAX_PARAM]
    if not text.isprintable():
        text = "".join(one if one.isprintable() else "�" for one in text)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _printable(text: str, longest: int) -> str:
    return "".join(one if "!" <= one <= "~" else "?" for one in text[:longest]) or "-"
