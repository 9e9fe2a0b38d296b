"""Somebody whose access was revoked answers nothing, wherever no token of theirs is asked for: a chat, a link, a form."""

import asyncio

import msgspec
import pytest

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.desk import HumanDesk
from funcgate.approval.quorum import Person
from funcgate.core.approval import State
from funcgate.core.ports import Patience
from funcgate.core.refusal import Refused
from funcgate.core.revocation import Revocation
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, SCHEMA, call, decision

BOB, CAROL = (Person("corp", name, frozenset({"finance"})) for name in ("bob", "carol"))


def test_a_revoked_approver_is_refused_on_the_record_and_another_answers() -> None:
    async def story() -> None:
        store, journal = MemoryApprovals(), MemoryJournal()
        desk = HumanDesk(store, journal, lambda _: None, now=lambda: NOW)
        answers = Answers(desk)
        args = msgspec.Raw(b'{"amount":25000}')
        held = await desk.open(call(), decision(), args, SCHEMA, Patience(detached=True))
        with pytest.raises(Refused):
            await desk.wait(held)
        answers.revoked.replace(
            [Revocation(id="r", at=NOW, by="corp/ada", reason="left", issuer="corp", subject="bob")]
        )
        for yes in (True, False):
            with pytest.raises(Unanswered, match="access was revoked"):
                await answers.give(held.id, BOB, yes, "slack")
        found = await store.get(held.id)
        assert found is not None
        assert (found.state, found.answers) == (State.PENDING, ())
        tried = [entry for entry in journal.entries if entry.outcome == "refused"]
        assert [(entry.principal and entry.principal.subject, entry.detail) for entry in tried] == [
            ("bob", "this person's access was revoked")
        ] * 2
        assert (await answers.give(held.id, CAROL, True, "slack")).state is State.APPROVED

    asyncio.run(story())
