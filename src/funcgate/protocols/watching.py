"""Whether the caller of an open stream may still be one: its token is looked at again and again. It judges no message.

For RPCs of gRPC and for answers over HTTP that go on.
"""

import asyncio
from time import time
from typing import Protocol

from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.gateway import Snapshot

_LOOK_S = 5.0  # between two looks: a revocation ends the stream that much later
_SOON_S = 0.25  # between two looks past the token's end: issuers are given some leeway


class Serving(Protocol):
    """What serves now."""

    @property
    def snapshot(self) -> Snapshot: ...


class Watched(Protocol):
    """What is asked of an RPC, or of an answer."""

    @property
    def token(self) -> RawToken | None: ...

    @property
    def principal(self) -> Principal | None:
        """Whom the stream was opened for."""
        ...

    @property
    def expires_at(self) -> float:
        """When the caller's token ends (Unix time), leeway aside."""
        ...

    @property
    def serving(self) -> Serving:
        """What serves now, whatever the stream began with."""
        ...

    def stop(self, refused: Refused) -> None: ...


class Watch:
    """Ends one stream once its token is no longer accepted. With `expiry` False one that merely expired ends nothing."""

    __slots__ = ("_expiry", "_loop", "_outlived", "_task", "_timer", "_watched")

    def __init__(self, watched: Watched, expiry: bool) -> None:
        self._watched = watched
        self._expiry = expiry
        self._outlived = False  # the token has expired, and that ends nothing
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle = self._loop.call_soon(self._look)

    def close(self) -> None:
        """Nothing is looked at any more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        # Attack: open a stream, and listen on it for days with a token that expired or was revoked within the hour.
        try:
            principal = self._watched.principal
            if self._outlived and principal is not None:
                # Attack: be revoked after one's token expired, and listen on.
                self._watched.serving.snapshot.identity.check(principal)
                self._timer = self._loop.call_later(_LOOK_S, self._look)
                return
            token = self._watched.token
            known = None if token is None else self._watched.serving.snapshot.identity.recall(token)
        except Refused as refused:
            self._watched.stop(refused)
            return
        if known is None:
            self._task = self._loop.create_task(self._verify(token))
        else:
            self._look_later()

    async def _verify(self, token: RawToken | None) -> None:
        """Nobody remembers the token, or it has ended: the long way."""
        try:
            await self._watched.serving.snapshot.identity.identify(token)
        except Refused as refused:
            if refused.code is Code.IDENTITY_EXPIRED and not self._expiry and self._watched.principal is not None:
                self._outlived = True
                self._look()
                return
            self._watched.stop(refused)
            return
        except Exception as error:  # P3: whoever cannot be verified is not listened for any more
            self._watched.stop(
                Refused(Code.IDENTITY_INVALID, private_detail=f"{type(error).__name__} in a stream's watch")
            )
            return
        self._look_later()

    def _look_later(self) -> None:
        left_s = self._watched.expires_at - time()
        self._timer = self._loop.call_later(min(_LOOK_S, max(left_s, _SOON_S)), self._look)
