"""Timestamps and durations: RFC 3339 text, Go-style durations, getters with a time zone (cel-spec, "Timezones").

Nanoseconds, whole numbers throughout. Zone names are looked up when an expression is loaded, never during a call.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from .values import INT_MAX, INT_MIN, Duration, Failure, Frame, Timestamp

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_PIECE = re.compile(r"(\d{1,20})(?:\.(\d{0,20}))?(ns|us|µs|μs|ms|s|m|h)|\.(\d{1,20})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def make_timestamp(ns: int) -> Timestamp:
    """Raises `Failure` outside the years 1 to 9999."""
    if _FIRST <= ns <= _LAST:
        return Timestamp(ns)
    raise Failure("the timestamp is out of range")


def make_duration(ns: int) -> Duration:
    if INT_MIN <= ns <= INT_MAX:
        return Duration(ns)
    raise Failure("the duration is out of range")


def timestamp_from_string(frame: Frame, text: str) -> Timestamp:
    """RFC 3339, section 5.6. A leap second (``:60``) is refused."""
    frame.charge(25)
    match = _STAMP.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise Failure("the text is no timestamp (RFC 3339)")
    try:
        moment = datetime(*(int(match[group]) for group in range(1, 7)), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        raise Failure("the text is no timestamp (RFC 3339)") from None
    hours, minutes = int(match[9] or 0), int(match[10] or 0)
    if hours > 23 or minutes > 59:
        raise Failure("the text is no timestamp (RFC 3339)")
    offset = (hours * 3600 + minutes * 60) * (-1 if match[8] == "-" else 1)
    whole = (moment - _EPOCH) // timedelta(seconds=1) - offset
    return make_timestamp(whole * SECOND + int((match[7] or "0").ljust(9, "0")))


def timestamp_from_int(_: Frame, seconds: int) -> Timestamp:
    return make_timestamp(seconds * SECOND)


def timestamp_to_int(_: Frame, stamp: Timestamp) -> int:
    return stamp.ns // SECOND


def timestamp_to_string(frame: Frame, stamp: Timestamp) -> str:
    frame.charge(15)
    moment = _EPOCH + timedelta(seconds=stamp.ns // SECOND)
    return f"{moment.year:04d}{moment:-%m-%dT%H:%M:%S}{_fraction(stamp.ns % SECOND)}Z"


def duration_from_string(frame: Frame, text: str) -> Duration:
    """``1h30m``, ``-1.5s``, ``250ms``: decimal numbers with units, as Go writes them."""
    frame.charge(10 + min(len(text), 64))
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return Duration(0)
    total, at = 0, 0
    while len(text) <= 64 and (match := _PIECE.match(body, at)):
        whole, fraction, unit = match[1] or "0", match[2] or match[4] or "", _UNITS[match[3] or match[5]]
        total += int(whole) * unit + int("0" + fraction) * unit // 10 ** len(fraction)
        at = match.end()
    if not body or at != len(body):
        raise Failure("the text is no duration (1h30m, 1.5s)")
    return make_duration(-total if text[0] == "-" else total)


def duration_to_string(_: Frame, duration: Duration) -> str:
    whole, rest = divmod(abs(duration.ns), SECOND)
    return f"{'-' if duration.ns < 0 else ''}{whole}{_fraction(rest)}s"


def _fraction(ns: int) -> str:
    return f".{ns:09d}".rstrip("0") if ns else ""


def later(_: Frame, stamp: Timestamp, by: Duration) -> Timestamp:
    return make_timestamp(stamp.ns + by.ns)


def earlier(_: Frame, stamp: Timestamp, by: Duration) -> Timestamp:
    return make_timestamp(stamp.ns - by.ns)


def between(_: Frame, to: Timestamp, since: Timestamp) -> Duration:
    return make_duration(to.ns - since.ns)


def duration_add(_: Frame, a: Duration, b: Duration) -> Duration:
    return make_duration(a.ns + b.ns)


def duration_subtract(_: Frame, a: Duration, b: Duration) -> Duration:
    return make_duration(a.ns - b.ns)


def zone(name: str, *, named: bool = True) -> tzinfo:
    """``UTC``, ``+02:00`` or, when `named`, an IANA name. Raises `Failure` for another. An IANA name reads a file."""
    if name == "UTC":
        return UTC
    if match := _OFFSET.fullmatch(name):
        minutes = int(match[2]) * 60 + int(match[3])
        if minutes < 24 * 60 and int(match[3]) < 60:
            return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    elif named and re.fullmatch(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+)*", name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, LookupError):  # not there, or a name that means something to the file system
            pass
    raise Failure("the time zone is unknown")


def _local(stamp: Timestamp, where: tzinfo) -> datetime:
    try:
        return (_EPOCH + timedelta(microseconds=stamp.ns // 1000)).astimezone(where)
    except (OverflowError, ValueError):
        raise Failure("the timestamp is out of range in this time zone") from None


FIELDS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda t: t.year,
    "getMonth": lambda t: t.month - 1,
    "getDate": lambda t: t.day,
    "getDayOfMonth": lambda t: t.day - 1,
    "getDayOfWeek": lambda t: t.isoweekday() % 7,
    "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
    "getHours": lambda t: t.hour,
    "getMinutes": lambda t: t.minute,
    "getSeconds": lambda t: t.second,
    "getMilliseconds": lambda t: t.microsecond // 1000,
}
_SPANS = {"getHours": 3600 * SECOND, "getMinutes": 60 * SECOND, "getSeconds": SECOND}


def stamp_getter(
    name: str,
) -> tuple[Callable[[Frame, Timestamp], int], Callable[[Frame, Timestamp, str | tzinfo], int]]:
    """The getter in UTC, and the one with a zone: a tzinfo resolved at load, or text that is UTC or an offset."""
    read = FIELDS[name]

    def in_utc(frame: Frame, stamp: Timestamp) -> int:
        frame.charge(10)
        return read(_local(stamp, UTC))

    def in_zone(frame: Frame, stamp: Timestamp, where: str | tzinfo) -> int:
        frame.charge(15)
        return read(_local(stamp, zone(where, named=False) if isinstance(where, str) else where))

    return in_utc, in_zone


def span_getter(name: str) -> Callable[[Frame, Duration], int]:
    """Whole hours, minutes or seconds of a duration; for milliseconds its part below a second."""
    unit = _SPANS.get(name)

    def whole(_: Frame, span: Duration) -> int:
        size = abs(span.ns) // unit if unit else abs(span.ns) % SECOND // 10**6
        return -size if span.ns < 0 else size

    return whole
