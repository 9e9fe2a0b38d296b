"""One method, in the form that runs: messages to judged arguments, answers to lines of JSON and back. On the data path.

What is judged is what is sent: both come from one parsed message, which is written anew.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.function import Function
from funcgate.core.refusal import Code, Refused

from .quick import ArgsOf, Line, LineOf, args_reader, line_reader
from .reading import Reader
from .restoring import Unrestorable
from .upb import Message
from .walk import MessageLimits, TooMuch, Unreadable, Walk

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


class Judged(Struct):
    """The arguments, and the message that means them: the only bytes that may be sent. None: there is no message."""

    args: dict[str, Any]
    data: bytes | None


class Args:
    """Reads the messages that callers send to one method."""

    __slots__ = ("_limits", "_quick", "_reader")

    def __init__(self, reader: Reader, limits: MessageLimits) -> None:
        self._reader = reader
        self._limits = limits
        self._quick: ArgsOf = self._made  # tables are made when the first message comes: most methods are never called

    def read(self, data: bytes) -> Judged:
        """Raises `Refused(request.invalid)` and `Refused(request.too_large)`."""
        args = self._quick(data)
        # What the compiled half takes is spelled already as it would be written anew.
        return self.pure_read(data) if args is None else Judged(args, data)

    def _made(self, data: bytes) -> dict[str, Any] | None:
        self._quick = args_reader(self._reader.table(), self._limits)
        return self._quick(data)

    def pure_read(self, data: bytes) -> Judged:
        """The same, of any message."""
        reader = self._reader
        try:
            message = reader.parse(data)
            args = reader.whole(message, Walk(self._limits))
            # Attack: a field twice, a map's key twice, numbers in five bytes more: one spelling is left, of what was judged.
            return Judged(args, reader.write(message))
        except TooMuch as why:
            code, text = Code.REQUEST_TOO_LARGE, str(why)
        except (Unreadable, KeyError, ValueError, RecursionError) as why:
            code, text = Code.REQUEST_INVALID, str(why) if isinstance(why, Unreadable) else ""
        raise Refused(code, f"The message cannot be judged: {text or 'it is not what the method takes'}.")


class Seen:
    """One answer's message. `line` is JSON without a line end; what the description marks `debug_redact` is hidden in it."""

    __slots__ = ("_data", "_message", "_reader", "_shown", "line", "redacted")

    def __init__(self, reader: Reader, message: Message, data: bytes, shown: dict[str, Any], redacted: int) -> None:
        self._reader = reader
        self._message = message
        self._data = data
        self._shown = shown
        self.line = _encode(shown)
        self.redacted = redacted

    def restore(self, masked: bytes) -> bytes:
        """The message for the caller, of the line as masking left it. Once. Raises `Refused(masking.refused)`."""
        if masked == self.line:
            return self._data
        return _restored(self._reader, lambda: self._message, self._shown, masked)


def _restored(reader: Reader, message_of: Callable[[], Message], shown: Any, masked: bytes) -> bytes:
    try:
        message = message_of()
        reader.restore(message, shown, _decode(masked))
        return reader.write(message)
    except Exception as error:
        # Whatever it was: what cannot be put back is not passed on.
        why = str(error) if isinstance(error, Unrestorable | Unreadable) else type(error).__name__
    raise Refused(Code.MASKING_REFUSED, private_detail=f"a masked message that cannot be written: {why}")


class Answers:
    """Reads the messages that the target answers. `open_` may let undeclared fields through, for functions without masking."""

    __slots__ = ("_limits", "_open", "_quick", "_strict")

    def __init__(self, strict: Reader, open_: Reader, limits: MessageLimits) -> None:
        self._strict = strict
        self._open = open_
        self._limits = limits
        self._quick: LineOf = self._made

    def read(self, data: bytes, *, strict: bool) -> Seen | Line:
        """`strict`: there are masking rules, so nothing may go by unseen. Raises `Refused(masking.refused)`."""
        line = self._quick(data)
        return self.pure_read(data, strict=strict) if line is None else line

    def _made(self, data: bytes) -> Line | None:
        self._quick = line_reader(self._strict.table(), self._limits, self._restore)
        return self._quick(data)

    def pure_read(self, data: bytes, *, strict: bool) -> Seen:
        """The same, of any message."""
        reader = self._strict if strict else self._open
        try:
            message = reader.parse(data)
            walk = Walk(self._limits)
            shown = reader.whole(message, walk)
            return Seen(reader, message, reader.write(message), shown, walk.redacted)
        except Exception as error:
            why = str(error) if isinstance(error, Unreadable) else type(error).__name__
        raise Refused(Code.MASKING_REFUSED, private_detail=f"an answer that cannot be looked at: {why}")

    def _restore(self, data: bytes, line: bytes, masked: bytes) -> bytes:
        """What masking changed in a line of the compiled half, put into its message."""
        # Both lines are read alike: masking keeps the entries of a map in the line's order, which need not be the message's.
        return _restored(self._strict, lambda: self._strict.parse(data), _decode(line), masked)


class Method:
    """`path` is as in ``:path``; `streams` says who may send more than one message: the caller, the target. `takes` and `gives`
    are None for one whose messages nobody knows. `redacted` are the paths of arguments that the description hides."""

    __slots__ = ("function", "gives", "idempotent", "opaque", "path", "redacted", "streams", "takes")

    def __init__(
        self,
        function: Function,
        *,
        streams: tuple[bool, bool] = (True, True),
        idempotent: bool = False,
        takes: Args | None = None,
        gives: Answers | None = None,
        redacted: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.path = b"/" + function.name.encode()
        self.streams = streams
        self.idempotent = idempotent
        self.takes = takes
        self.gives = gives
        self.redacted = redacted
        # Listed in the configuration, without a description: no arguments, and messages that nobody looks at.
        self.opaque = takes is None

    def __repr__(self) -> str:
        return f"Method({self.function.full_name})"
