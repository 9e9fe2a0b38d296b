"""Approvals in memory: the shipped fake for tests and trials. It survives nothing."""

from collections.abc import Iterable, Sequence

import msgspec

from funcgate.core.approval import Approval, Grant, State, Ticket, TooManyPending


class MemoryApprovals:
    """`core.approval.ApprovalStore` over two dictionaries; one event loop only."""

    def __init__(self) -> None:
        self._approvals: dict[str, Approval] = {}
        self._grants: dict[str, Grant] = {}
        self._told: dict[tuple[str, str], tuple[int, str]] = {}
        self._tickets: dict[str, Ticket] = {}

    async def open(self, approval: Approval, max_pending: int = 0) -> Approval:
        if approval.live:
            for kept in self._approvals.values():
                if kept.live and kept.key == approval.key:
                    return kept
            if max_pending and self._pending(approval) >= max_pending:
                raise TooManyPending
        self._approvals[approval.id] = approval
        return approval

    async def get(self, approval: str) -> Approval | None:
        return self._approvals.get(approval)

    async def latest(self, key: str) -> Approval | None:
        found = [kept for kept in self._approvals.values() if kept.key == key]
        return max(found, key=lambda kept: kept.id, default=None)

    async def swap(self, approval: Approval) -> bool:
        kept = self._approvals.get(approval.id)
        if kept is None or kept.revision != approval.revision - 1:
            return False
        self._approvals[approval.id] = approval
        return True

    async def states(self, approvals: Iterable[str]) -> dict[str, int]:
        return {name: self._approvals[name].revision for name in approvals if name in self._approvals}

    async def due(self, now: float, limit: int = 100) -> Sequence[Approval]:
        due = [
            (at, kept.id, kept)
            for kept in self._approvals.values()
            if (at := kept.attention_at) is not None and at <= now
        ]
        return [kept for _, _, kept in sorted(due, key=lambda one: one[:2])[:limit]]

    async def find(self, state: State | None = None, *, before: str = "", limit: int = 50) -> Sequence[Approval]:
        found = [
            kept
            for kept in self._approvals.values()
            if (state is None or kept.state is state) and (not before or kept.id < before)
        ]
        return sorted(found, key=lambda kept: kept.id, reverse=True)[:limit]

    async def forget(self, before: float, limit: int = 500) -> int:
        old = [kept.id for kept in self._approvals.values() if not kept.live and kept.expires_at < before][:limit]
        for name in old:
            del self._approvals[name]
        self._told = {place: told for place, told in self._told.items() if place[1] not in old}
        self._grants = {name: grant for name, grant in self._grants.items() if grant.expires_at >= before}
        return len(old)

    async def add_grant(self, grant: Grant) -> None:
        self._grants[grant.id] = grant

    async def grants(self, function: str = "", subject: str = "", *, now: float = 0.0) -> Sequence[Grant]:
        return [
            grant
            for grant in self._grants.values()
            if _usable(grant, now) and function in ("", grant.function) and subject in ("", grant.subject)
        ]

    async def use_grant(self, grant: str, now: float) -> bool:
        kept = self._grants.get(grant)
        if kept is None or not _usable(kept, now):
            return False
        self._grants[grant] = msgspec.structs.replace(kept, used=kept.used + 1)
        return True

    async def revoke_grant(self, grant: str) -> bool:
        kept = self._grants.get(grant)
        if kept is None or kept.revoked:
            return False
        self._grants[grant] = msgspec.structs.replace(kept, revoked=True)
        return True

    async def untold(self, channel: str, since: str, limit: int = 50) -> Sequence[tuple[Approval, str]]:
        found = []
        for kept in sorted(self._approvals.values(), key=lambda each: each.id):
            revision, reference = self._told.get((channel, kept.id), (0, ""))
            if kept.id >= since and revision < kept.revision:
                found.append((kept, reference))
        return found[:limit]

    async def told(self, channel: str, approval: str, revision: int, reference: str) -> None:
        self._told[channel, approval] = (revision, reference)

    async def add_ticket(self, ticket: Ticket, now: float) -> None:
        self._tickets = {name: each for name, each in self._tickets.items() if each.expires_at > now}
        self._tickets[ticket.digest] = ticket

    async def ticket(self, digest: str) -> Ticket | None:
        return self._tickets.get(digest)

    async def use_ticket(self, digest: str) -> bool:
        kept = self._tickets.get(digest)
        if kept is None or kept.used:
            return False
        self._tickets[digest] = msgspec.structs.replace(kept, used=True)
        return True

    def _pending(self, approval: Approval) -> int:
        who = approval.asked.principal
        return sum(
            kept.state is State.PENDING
            and (kept.asked.principal.issuer, kept.asked.principal.subject) == (who.issuer, who.subject)
            for kept in self._approvals.values()
        )


def _usable(grant: Grant, now: float) -> bool:
    return not grant.revoked and grant.used < grant.calls and grant.expires_at > now
