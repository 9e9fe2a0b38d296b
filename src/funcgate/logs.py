"""What the gateway says about itself, on standard error: one event a line, JSON or for a terminal.

The record of calls is the journal, not the log. No token, no secret and no exception text gets here: an exception is
named by its type and the lines it passed through, because its text may hold a value of a call.
"""

import logging
import re
import sys
import traceback
from collections.abc import Awaitable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO

import msgspec
import structlog

from .core.entry import Drawn, Entry, Kind, whole
from .core.ports import Journal

Level = Literal["debug", "info", "warning", "error"]
Event = MutableMapping[str, Any]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TOKENS = re.compile(r"eyJ[\w-]{5,}\.[\w-]*(?:\.[\w-]*)?|(?i:\b(?:bearer|basic)\s+)[\w+/=.~-]{6,}")
_LOUD = {"uvicorn.access": logging.ERROR, "httpx": logging.WARNING, "httpcore": logging.WARNING}


def set_up(level: Level = "info", style: Literal["json", "console"] = "json", to: TextIO | None = None) -> None:
    """Send everything, the libraries' own logging too, through one chain. May be called again, to change the level."""
    out = to or sys.stderr
    last = [_as_json] if style == "json" else [structlog.dev.ConsoleRenderer(colors=out.isatty())]
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _name_exception,
            _without_tokens,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Into()]
    root.setLevel(max(_LEVELS[level], logging.INFO))
    for name, least in _LOUD.items():
        logging.getLogger(name).setLevel(max(least, _LEVELS[level]))


def logger(**context: Any) -> Any:
    """A logger that carries `context` on each of its lines."""
    return structlog.get_logger(**context)


def about_call(call_id: str, trace: str = "") -> Any:
    """A logger for lines about one call: they carry its id and, if it has one, its W3C trace id."""
    return logger(call_id=call_id, trace_id=trace) if trace else logger(call_id=call_id)


class CallLog:
    """A journal that also logs what passes into it. Put in front of the real one only when the configuration asks for
    it, so that it costs nothing when it does not."""

    def __init__(self, journal: Journal, which: Literal["refused", "all"]) -> None:
        self._journal = journal
        self._traces: dict[str, str] = {}  # of calls that are open: only their arrival has it
        self._kinds = {Kind.DENIED} if which == "refused" else {Kind.DENIED, Kind.ENDED}

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        self._tell(entries)
        return self._journal.append(*entries)

    def note(self, *entries: Entry | Drawn) -> None:
        self._tell(entries)
        self._journal.note(*entries)

    def _tell(self, entries: Iterable[Entry | Drawn]) -> None:
        for entry in map(whole, entries):
            if entry.kind is Kind.ARRIVED and entry.trace:
                self._traces[entry.call] = entry.trace
            if entry.kind in self._kinds:
                shown = {
                    "function": entry.function,
                    "target": entry.target,
                    "code": entry.code,
                    "outcome": entry.outcome,
                }
                event = "call refused" if entry.kind is Kind.DENIED else "call ended"
                trace = self._traces.get(entry.call, "")
                about_call(entry.call, trace).info(event, **{name: text for name, text in shown.items() if text})
            if entry.kind is Kind.ENDED:
                self._traces.pop(entry.call, None)


class _Into(logging.Handler):
    """The libraries' lines, said by structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage() if isinstance(record.msg, str) else type(record.msg).__name__
        log = structlog.get_logger(source=record.name)
        log.log(record.levelno, text.splitlines()[0] if text else "", exc_info=record.exc_info or None)


def _name_exception(_: Any, __: str, event: Event) -> Event:
    """Replace an exception by its type and where it passed; never its text or its locals."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["passed"] = _frames(error.__traceback__)
    return event


def _frames(trace: TracebackType | None) -> list[str]:
    passed = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(trace)]
    return [place.rpartition("site-packages/")[2] for place in passed[-12:]]


def _without_tokens(_: Any, __: str, event: Event) -> Event:
    # Attack: make a library complain about a header, and read the caller's token in the log.
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _TOKENS.sub("[TOKEN]", value)
    return event


def _as_json(_: Any, __: str, event: Event) -> str:
    head = {"at": event.pop("at", ""), "level": event.pop("level", ""), "event": event.pop("event", "")}
    return msgspec.json.encode({**head, **event}, enc_hook=str).decode()
