"""grpc.health.v1.Health, of the gateway itself: serving or not, and nothing of any target. Nobody has to say who they are."""

import asyncio
from collections.abc import Callable

from funcgate.core.ports import CallerGone
from funcgate.core.refusal import Refused
from funcgate.protocols.http2.stream import Gone
from funcgate.wire.grpc import Malformed, Status, TextReader, frame

from .answering import Answering
from .messages import Messages, Readable
from .opening import Opening

_SERVICE = b"/grpc.health.v1.Health/"
CHECK, WATCH, LIST = _SERVICE + b"Check", _SERVICE + b"Watch", _SERVICE + b"List"
PATHS = frozenset({CHECK, WATCH, LIST})

_MAX_BYTES = 1 << 10
HEALTH_BODY = 2 * _MAX_BYTES  # framed, and in base64
MOST_WATCHERS = 100
_OF_STREAMS = 20  # one of so many may be a watcher's
_LOOK_EVERY_S = 1.0
_LONGEST_WATCH_S = 3600.0
# HealthCheckResponse, whose field 1 is the status; in HealthListResponse it is the value of an entry with the key "".
_SERVING, _NOT_SERVING, _UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class Health:
    """Answers the calls. The gateway as a whole is the service "" and the only one that there is. `ready`: it takes calls;
    `most_streams`: so many there are of all callers, of which watchers have a twentieth."""

    def __init__(self, ready: Callable[[], bool], most_streams: int) -> None:
        self._ready = ready
        self._most = max(1, min(MOST_WATCHERS, most_streams // _OF_STREAMS))
        self._watchers = 0

    async def answer(self, stream: Readable, opening: Opening, answering: Answering) -> None:
        """One call."""
        try:
            if opening.wrong is not None:
                await answering.only(_status(Status.INVALID_ARGUMENT))
                return
            text = TextReader() if opening.web is not None and opening.web.text else None
            request = await Messages(stream, opening.coding, _MAX_BYTES, text).only()
            named = bool(request) and request != b"\x0a\x00"
            if opening.path == WATCH:
                await self._watch(answering, named)
            elif opening.path == CHECK and named:
                await answering.only(_status(Status.NOT_FOUND))
            else:
                found = _SERVING if self._ready() else _NOT_SERVING
                await _answer(answering, found if opening.path == CHECK else b"\x0a\x06\x0a\x00\x12\x02" + found)
        except (Malformed, Refused):
            await answering.only(_status(Status.INVALID_ARGUMENT))
        except (Gone, CallerGone):
            return

    async def _watch(self, answering: Answering, named: bool) -> None:
        """The status now, and each time that it changes. Ends after an hour: a watcher asks again."""
        # Attack: streams of nobody known that stay open for an hour, until there is none left for anybody else's call.
        if self._watchers >= self._most:
            await answering.only(_status(Status.RESOURCE_EXHAUSTED))
            return
        self._watchers += 1
        try:
            answering.head([])
            told = b""
            for _ in range(int(_LONGEST_WATCH_S / _LOOK_EVERY_S)):
                found = _UNKNOWN if named else _SERVING if self._ready() else _NOT_SERVING
                if found != told:
                    await answering.messages(frame(found))
                    told = found
                await asyncio.sleep(_LOOK_EVERY_S)
            await answering.end(_status(Status.UNAVAILABLE))
        finally:
            self._watchers -= 1


async def _answer(answering: Answering, message: bytes) -> None:
    answering.head([])
    await answering.messages(frame(message))
    await answering.end(_status(Status.OK))


def _status(status: Status) -> list[tuple[bytes, bytes]]:
    return [(b"grpc-status", b"%d" % status)]
