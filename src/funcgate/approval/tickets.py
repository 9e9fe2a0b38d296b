"""One-time links to an approval's page, for messages that leave the house. A ticket opens a page for somebody who has signed in;
it approves nothing, and shows nothing to anybody else.
"""

import hashlib
import re
from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any

from funcgate.core.approval import Approval, ApprovalStore, Ticket

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class BadTicket(Exception):
    """The link opens nothing; the text says why, to whoever followed it and to the record."""


class Tickets:
    """Tickets over the approvals' store. `url` is where approvals are seen."""

    def __init__(self, store: ApprovalStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")

    async def link(self, approval: Approval, recipient: str, now: float) -> str:
        """A link for this recipient, good until the approval expires. Raises `StoreFailed`."""
        secret = token_urlsafe(32)
        ticket = Ticket(
            digest=_digest(secret), approval=approval.id, recipient=recipient, expires_at=approval.expires_at
        )
        await self._store.add_ticket(ticket, now)
        return f"{self.page(approval)}?ticket={secret}"

    def page(self, approval: Approval) -> str:
        """Where the approval is seen, for whoever has signed in and may see it."""
        return f"{self._url}/{approval.id}"

    async def take(self, secret: str, approval: str, claims: Mapping[str, Any], now: float) -> None:
        """Use a ticket up, for the person with these verified claims. Raises `BadTicket` and `StoreFailed`."""
        # Attack: guess or alter a link. What is kept is a digest, so that a copy of the database opens nothing either.
        found = await self._store.ticket(_digest(secret)) if _FORM.fullmatch(secret) else None
        if found is None or now >= found.expires_at:
            raise BadTicket("the link is not known, or its time is over")
        # Attack: carry the ticket of one approval over to another.
        if found.approval != approval:
            raise BadTicket("the link is for another approval")
        # Attack: a mail that is forwarded, or read in somebody else's mailbox; or use the link up for its recipient.
        if claims.get("email_verified") is not True or _folded(claims.get("email")) != _folded(found.recipient):
            raise BadTicket("the link was sent to another mail address than that of whoever signed in")
        if not await self._store.use_ticket(found.digest):
            raise BadTicket("the link was used already")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _folded(address: object) -> str:
    return address.casefold() if isinstance(address, str) else ""
