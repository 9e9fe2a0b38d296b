"""What people do with held calls: answer, cancel, grant, revoke. Every attempt is recorded, those that do not count too."""

from typing import Any

import msgspec

from funcgate.core.approval import Answer, Approval, Grant, State
from funcgate.core.entry import Entry, Kind, Who
from funcgate.core.revocation import Revoked

from .desk import HumanDesk
from .grants import TooWide, Wish, agreed, make_grant
from .quorum import Person, Unfit, enough, examine
from .table import Event, NotNow, after


class Unanswered(Exception):
    """The answer does not count; the text says why, to whoever gave it."""


class Answers:
    """The one way in for answers, whatever the channel. The channel has verified the person; the desk decides the rest.

    `revoked` is what stands of revocations; the composition root puts the gateway's here.
    """

    def __init__(self, desk: HumanDesk) -> None:
        self._desk = desk
        self.revoked = Revoked()

    async def give(
        self, approval: str, person: Person, yes: bool, channel: str, reason: str = "", wish: Wish | None = None
    ) -> Approval:
        """Answer a held call. Raises `Unanswered`, `KeyError` for an approval that is not there, `Refused` and `StoreFailed`."""
        now = self._desk.now()
        answer = Answer(
            issuer=person.issuer, subject=person.subject, groups=tuple(sorted(person.groups)), yes=yes, at=now,
            channel=channel, reason=reason[:1000], wish=wish.said if wish is not None and yes else "",
        )  # fmt: skip

        def answered(found: Approval) -> Approval:
            # Attack: somebody whose access was revoked answers where no token is asked for: in a chat, by a link in a mail.
            if self.revoked.of_caller(person.issuer, person.subject) is not None:
                raise Unfit("this person's access was revoked")
            examine(found, person, now, yes=yes)
            if not yes:
                return after(found, Event.NO, now, answer=answer, why=f"{person.subject}: {reason}"[:1000])
            given = (*found.answers, answer)
            full = enough(found.terms, given, escalated=found.escalated, asked_at=found.created_at)
            if wish is not None:
                _try_grant(msgspec.structs.replace(found, answers=given), wish, now, full=full)
            return after(found, Event.FULL if full else Event.YES, now, answer=answer)

        try:
            changed = await self._desk.change(approval, answered, lambda made: _answered(made, answer))
        except (Unfit, NotNow, TooWide) as why:
            await self.refuse(approval, channel, str(why), person)
            raise Unanswered(_told(why)) from None
        if wish is not None and yes and changed.state is State.APPROVED:
            await self._grant(changed, wish, now)
        return changed

    async def refuse(self, approval: str, channel: str, why: str, person: Person | None = None) -> None:
        """Record an answer that does not count: forged, replayed, late, or of somebody who may not."""
        who = None if person is None else Who(person.issuer, person.subject, tuple(sorted(person.groups)))
        change = {"channel": channel}
        entry = Entry(
            kind=Kind.ANSWERED,
            call="",
            approval=approval[:64],
            principal=who,
            outcome="refused",
            detail=why,
            change=change,
        )
        await self._desk.journal.append(entry)

    async def cancel(self, approval: str, person: Person, channel: str) -> Approval:
        """Withdraw a held call; its own caller's right, and that of whoever the caller acts for. Raises like `give`."""

        def cancelled(found: Approval) -> Approval:
            who = found.asked.principal
            # Attack: withdraw somebody else's call just before it is approved.
            if person.issuer != who.issuer or person.subject not in {who.subject, who.acts_for}:
                raise Unfit("only the caller withdraws a call")
            return after(found, Event.CANCEL, self._desk.now(), why=f"withdrawn by {person.subject}")

        try:
            return await self._desk.change(
                approval, cancelled, lambda made: _entry(made, outcome="cancel", who=person, channel=channel)
            )
        except (Unfit, NotNow) as why:
            await self.refuse(approval, channel, str(why), person)
            raise Unanswered(_told(why)) from None

    async def revoke(self, grant: str, person: Person, channel: str) -> bool:
        """End a standing grant. Recorded first; False when there is none to end."""
        change = {"what": "revoked", "grant": grant, "channel": channel}
        who = Who(person.issuer, person.subject, tuple(sorted(person.groups)))
        await self._desk.journal.append(
            Entry(kind=Kind.ADMIN, call="", principal=who, outcome="complete", change=change)
        )
        return await self._desk.store.revoke_grant(grant)

    async def _grant(self, approval: Approval, wish: Wish, now: float) -> Grant:
        grant = make_grant(msgspec.structs.replace(approval, answers=agreed(approval, wish)), wish, now)
        change = {"what": "granted", "grant": msgspec.to_builtins(grant, builtin_types=(msgspec.Raw,))}
        change["grant"]["args"] = grant.args
        last = approval.answers[-1]
        who = Who(last.issuer, last.subject, last.groups)
        entry = Entry(
            kind=Kind.ADMIN,
            call=approval.asked.call,
            approval=approval.id,
            principal=who,
            outcome="complete",
            change=change,
        )
        await self._desk.journal.append(entry)
        await self._desk.store.add_grant(grant)
        return grant


def _try_grant(found: Approval, wish: Wish, now: float, *, full: bool) -> None:
    """Raises `TooWide` for a grant that will not be given."""
    make_grant(found, wish, now)
    if full:
        agreed(found, wish)


def _answered(approval: Approval, answer: Answer) -> Entry:
    change: dict[str, Any] = {"channel": answer.channel, "state": approval.state.value}
    who = Who(answer.issuer, answer.subject, answer.groups)
    asked = approval.asked
    return Entry(
        kind=Kind.ANSWERED, call=asked.call, session=asked.session, principal=who, function=asked.function,
        approval=approval.id, outcome="yes" if answer.yes else "no", detail=answer.reason, change=change,
    )  # fmt: skip


def _entry(approval: Approval, *, outcome: str, who: Person, channel: str) -> Entry:
    asked = approval.asked
    return Entry(
        kind=Kind.ANSWERED, call=asked.call, session=asked.session, function=asked.function, approval=approval.id,
        principal=Who(who.issuer, who.subject, tuple(sorted(who.groups))), outcome=outcome, change={"channel": channel},
    )  # fmt: skip


def _told(why: Exception) -> str:
    if isinstance(why, NotNow):
        return f"The approval is {why.state.value} already."
    text = str(why)
    return text[:1].upper() + text[1:] + "."
