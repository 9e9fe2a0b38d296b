"""What a database says unasked (NOTIFY, a notice, a failing commit) as a call: `TARGET.notification`, masked and recorded."""

from typing import Any

from funcgate.core.call import Permit, Shared
from funcgate.core.lease import Lease
from funcgate.core.refusal import Refused
from funcgate.core.reply import Reply
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.frames import Frame

from .answer import MEDIA, Answer
from .exchange import PostgresExchange, Speaker
from .shape import Hiding


class Notification(PostgresExchange):
    """One message. A caller who may not have it is not told that there was one. Raises `Malformed` for one that is none."""

    def __init__(self, session: Speaker, found: Frame) -> None:
        super().__init__(session, "notification")
        self._found = found
        rules = session.target.columns(f"{session.target.name}:notification")
        self._answer = Answer((), Hiding(rules, lambda _: []), strict=True)
        # Attack: a message that cannot be read, or that texts are read in another way from here on: no refusal of one call, but
        # the end of the session.
        self._line = self._answer.take(found)

    def arguments(self) -> tuple[dict[str, Any], Shared | None]:
        if self._found.kind != backend.NOTIFICATION:
            return {}, None
        return {"channel": backend.read_notification(self._found.payload)[1]}, None

    def content(self) -> bytes:
        return self._found.raw

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`. There is nothing to send: the answer is there."""
        if self.call is None:
            raise TypeError("a notification that was never resolved")
        permit.spend(self.call.digest)
        return Reply(status=200, headers=[], media=MEDIA, body=self._line)

    async def deliver(self, reply: Reply) -> None:
        lines = (reply.body or b"").split(b"\n")[:-1]
        await self.pass_on(b"".join(map(self._answer.messages, lines)))

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. That a transaction failed is told in any case; why, is not."""
        self.keep(refused)
        if self._found.kind == backend.ERROR:
            await self.say(backend.error("ERROR", "25000", "the transaction failed when it was committed"))
