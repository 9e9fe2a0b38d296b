"""Answers that go on: events and lines, of no declared length, passed on piece by piece. They have limits of their own.

How they are read and masked is not decided here.
"""

from collections.abc import Callable

from funcgate.core.principal import RawToken
from funcgate.core.refusal import Refused
from funcgate.core.reply import Reply
from funcgate.masking.media import Kind, kind_of
from funcgate.protocols.watching import Serving, Watch, Watched

from .outgoing import Outgoing

_EVENTS = "text/event-stream"


def lasts(exchange: Outgoing, reply: Reply, length: int) -> bool:
    """Whether the answer, which comes piece by piece, may go on for as long as a stream may. `length` is -1 where none is
    declared.

    One that is collected to be masked may not: nobody sees anything of it before its end.
    """
    if length >= 0:
        return False
    if reply.media == _EVENTS:
        return not exchange.collects
    return kind_of(reply.media, reply.charset) is Kind.LINES


class _Caller:
    """The caller of such an answer, as its token is watched."""

    __slots__ = ("_cut", "_exchange", "expires_at", "principal")

    def __init__(self, exchange: Outgoing, cut: Callable[[Refused], None]) -> None:
        self._exchange = exchange
        self._cut = cut
        self.principal = exchange.call.principal if exchange.call is not None else None
        self.expires_at = self.principal.expires_at if self.principal is not None else 0.0

    @property
    def token(self) -> RawToken | None:
        return self._exchange.token

    @property
    def serving(self) -> Serving:
        return self._exchange.serving

    def stop(self, refused: Refused) -> None:
        self._cut(refused)


def watch(exchange: Outgoing, expiry: bool, cut: Callable[[Refused], None]) -> Watch:
    """Look at the caller's token from now on; `cut` ends the answer. To be closed with it."""
    caller: Watched = _Caller(exchange, cut)
    return Watch(caller, expiry)
