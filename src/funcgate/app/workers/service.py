"""What the gateway's own process does for one worker: writes its lines, holds its calls at the desk, counts what it counted.

Nothing that a worker says is taken on trust: each part raises for what no honest worker says, and that ends the worker.
"""

from functools import partial

import msgspec
from msgspec import Struct

from funcgate.core.budget import Accounts
from funcgate.core.ports import Desk
from funcgate.stores.journal_files import FileJournal

from . import messages
from .accounts import counted
from .counting import Meters
from .desk import MAX_QUESTION_BYTES
from .holds import Holds
from .link import Kind, Link
from .messages import Cancelled, Done, Forged, Spend
from .orders import Cancel


class Services(Struct, frozen=True, kw_only=True):
    """What there is one of, for all workers."""

    journal: FileJournal
    desk: Desk
    meters: Meters
    accounts: Accounts
    workers: int
    inline_bytes: int = 64 << 10  # of content, that stay in a line of the journal

    def serve(self, number: int, link: Link, cancel: Cancel) -> "Service":
        """As `orders.Serve`."""
        return Service(self, number, link, cancel)


class Service:
    """`orders.Service` for worker `number`, as long as its link lasts. `cancel` passes a PostgreSQL cancel request on to the
    worker whose it is."""

    def __init__(self, services: Services, number: int, link: Link, cancel: Cancel) -> None:
        self._services = services
        self._cancel = cancel
        self._number = number
        self._link = link
        written, state = partial(link.send, Kind.WRITTEN), partial(link.send, Kind.JOURNAL)
        inline = services.inline_bytes
        self._guest = services.journal.guest(written, state, share=services.workers, inline_bytes=inline)
        self.lines = self._guest.take
        self._holds = Holds(services.desk, lambda call: call in self._guest.open)

    def counted(self, payload: bytes) -> None:
        self._services.meters.take(self._number, payload)

    async def answer(self, payload: bytes) -> bytes:
        try:
            # Attack: questions that take far more memory, and time of the loop, when they are read than when they are sent.
            if len(payload) > MAX_QUESTION_BYTES:
                raise Forged("too large a question")
            asked = messages.for_gateway(payload)
            if isinstance(asked, Spend):
                return messages.encode(counted(self._services.accounts, asked, len(payload)))
            if isinstance(asked, Cancelled):
                await self._cancel(asked.pid, asked.secret)
                return messages.encode(Done())
            return await self._holds.answer(asked, len(payload))
        except (Forged, msgspec.MsgspecError, RecursionError) as error:
            # Attack: a worker that was taken over tries what it may ask for. It gets one try.
            self._link.give_up(f"a question that no worker asks ({type(error).__name__})")
            raise

    def gone(self) -> None:
        self._holds.gone()
        self._guest.gone()
        self._services.meters.ended(self._number)
