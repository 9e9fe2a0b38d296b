"""Where held calls wait. This desk is closed: it takes no call in and lets none through."""

from typing import NoReturn

from funcgate.core.call import Call
from funcgate.core.decision import Decision
from funcgate.core.refusal import Code, Refused

RETRY_AFTER_S = 60


class ClosedDesk:
    """The desk of a gateway that has no approvers to ask yet."""

    async def ask(self, call: Call, decision: Decision) -> NoReturn:
        """Raises `Refused(approval.pending)`: without a human, what needs one is not done."""
        raise Refused(Code.APPROVAL_PENDING, private_detail="no approval desk is open", retry_after_s=RETRY_AFTER_S)
