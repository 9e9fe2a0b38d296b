"""OpenTelemetry logs by OTLP/HTTP, with the project's own exporter. What the exporter does not look at is looked at here:
redirects, which it takes for success, and answers that say that a part was refused."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from funcgate.core.entry import Entry
from funcgate.core.secret import Secret
from funcgate.recording.calls import CallRecord
from funcgate.recording.export.formats.form import change_of, host_and_port, nanoseconds, severity_of

from .destination import Message, Partly, Unreachable
from .events import id_of, json_of
from .webhook import check

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 << 10
_DECODE_ERROR: type[Exception] = import_module("google.protobuf.message").DecodeError
_TRACE = re.compile(r"[0-9a-f]{32}")
_SEVERITY = {
    1: (SeverityNumber.INFO, "INFO"),
    2: (SeverityNumber.WARN, "WARN"),
    3: (SeverityNumber.ERROR, "ERROR"),
}
# The exporter logs each failure by itself; here it is a value.
logging.getLogger("opentelemetry.exporter.otlp").addHandler(logging.NullHandler())
logging.getLogger("opentelemetry.exporter.otlp").propagate = False


class Otlp:
    """A `Destination`. `ca` is a PEM file, "" for the public authorities."""

    max_events = 500
    max_bytes = 1 << 20
    unconfirmed = 0

    def __init__(self, url: str, headers: Mapping[str, Secret], ca: str) -> None:
        self._place = "/".join(url.split("/", 3)[:3])
        self._session = _Session()
        self._session.verify = ca or True
        self._exporter = OTLPLogExporter(
            endpoint=url,
            headers={name: value.reveal() for name, value in headers.items()},
            timeout=TIMEOUT_S,
            session=self._session,
            certificate_file=ca or None,
        )
        self._resource = Resource({"service.name": "funcgate"})
        self._scope = InstrumentationScope("funcgate.journal")

    def data(self, what: CallRecord | Entry) -> bytes:
        return json_of(what)

    def send(self, messages: Sequence[Message]) -> None:
        session = self._session
        session.forget()
        result = self._exporter.export([self._record(message) for message in messages])
        if session.status == 0:
            raise Unreachable(f"{self._place}: {session.trouble or 'no answer'}")
        check(session.status, session.pause, self._place)
        if result is not LogRecordExportResult.SUCCESS:
            raise Unreachable(f"{self._place}: the exporter failed")
        self._check_part(session.answer)

    def tick(self) -> None:
        pass

    def confirm(self, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _check_part(self, answer: bytes) -> None:
        """Attack: none; a collector that takes a batch and says that it dropped some of it (OTLP 1.x, partial success)."""
        try:
            partial = ExportLogsServiceResponse.FromString(answer).partial_success
        except _DECODE_ERROR:
            return
        if partial.rejected_log_records:
            count = int(partial.rejected_log_records)
            raise Partly(f"{self._place} took the batch but {count}: {partial.error_message[:200]}", count)

    def _record(self, message: Message) -> ReadableLogRecord:
        what = message.what
        number, text = _SEVERITY[severity_of(what) if isinstance(what, CallRecord) else 1]
        at = (what.ended_at or what.at) if isinstance(what, CallRecord) else what.at
        record = LogRecord(
            timestamp=nanoseconds(what.at),
            observed_timestamp=nanoseconds(at),
            context=_trace(what.trace),
            severity_number=number,
            severity_text=text,
            event_name="funcgate.call" if isinstance(what, CallRecord) else "funcgate.admin",
            body=message.data.decode(),
            attributes={name: value for name, value in _attributes(what) if value},
        )
        return ReadableLogRecord(record, self._resource, self._scope)


class _Session(requests.Session):
    """Remembers the last answer. Follows no redirect (the exporter asks for that) and reads no environment."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.forget()

    def forget(self) -> None:
        self.status, self.pause, self.answer, self.trouble = 0, "", b"", ""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        self.forget()
        try:
            # Attack: an answer without an end. It is read up to a limit, and no further.
            response = super().request(*args, **{**options, "stream": True, "allow_redirects": False})
            self.answer = response.raw.read(MAX_ANSWER_BYTES, decode_content=True) or b""
            response.close()
        except Exception as error:
            self.trouble = type(error).__name__
            raise
        self.status, self.pause = response.status_code, response.headers.get("retry-after", "")
        return response


def _trace(trace: str) -> Any:
    """A context with the trace's id; the journal knows no span."""
    number = int(trace, 16) if _TRACE.fullmatch(trace) else 0
    span = SpanContext(number, 0, is_remote=True, trace_flags=TraceFlags(0))
    return set_span_in_context(NonRecordingSpan(span))


def _attributes(what: CallRecord | Entry) -> Iterator[tuple[str, Any]]:
    """By the semantic conventions where they have a word."""
    if isinstance(what, Entry):
        yield "funcgate.admin.what", change_of(what)
        yield "funcgate.admin.outcome", what.outcome
        yield "funcgate.seq", what.seq
        return
    who, (host, port) = what.principal, host_and_port(what.client)
    yield "funcgate.call.id", id_of(what)
    yield "user.id", who.subject if who else ""
    yield "user.roles", who.groups if who else ()
    yield "session.id", what.session
    yield "client.address", host
    yield "client.port", port
    yield "server.address", what.target
    yield "http.response.status_code", what.status
    yield "error.type", what.code
    yield "funcgate.issuer", who.issuer if who else ""
    yield "funcgate.function", what.function
    yield "funcgate.decision", what.decision
    yield "funcgate.policies", what.policy.names if what.policy else ()
    yield "funcgate.policy.version", what.policy.version if what.policy else ""
    yield "funcgate.outcome", what.outcome
    yield "funcgate.reason", what.reason
