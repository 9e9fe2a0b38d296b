"""Where held calls wait. This desk is closed: it takes no call in and lets none through."""

from collections.abc import Mapping
from typing import Any, NoReturn

from msgspec import Raw

from funcgate.core.call import Call
from funcgate.core.decision import Decision, RequireApproval
from funcgate.core.ports import Held, Patience
from funcgate.core.refusal import Code, Refused

RETRY_AFTER_S = 60


class _Closed:
    id = ""


class ClosedDesk:
    """The desk of a gateway that has nobody to ask."""

    async def open(
        self, call: Call, decision: RequireApproval, args: Raw, schema: Mapping[str, Any], patience: Patience
    ) -> Held:
        """See `core.ports.Desk`. Nothing is kept."""
        return _Closed()

    async def wait(self, held: Held) -> NoReturn:
        """Raises `Refused(approval.pending)`: without a human, what needs one is not done."""
        raise Refused(Code.APPROVAL_PENDING, private_detail="no approval desk is open", retry_after_s=RETRY_AFTER_S)

    async def use(self, held: Held, decision: Decision) -> NoReturn:
        """Raises `Refused(approval.pending)`."""
        await self.wait(held)
