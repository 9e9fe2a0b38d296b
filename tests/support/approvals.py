"""Approvals, calls and people for tests of the desk: ordinary ones, with whatever a test wants different."""

from typing import Any

import msgspec

from funcgate.core.approval import Answer, Approval, Asked, State
from funcgate.core.call import Call
from funcgate.core.decision import Quorum, RequireApproval, Terms
from funcgate.core.entry import Who
from funcgate.core.ids import new_id
from funcgate.core.principal import Principal, make_principal

NOW = 1_800_000_000.0
FINANCE = Quorum(("group:finance",), 1)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"amount": {"type": "integer"}}}


def terms(*quorums: Quorum, **changes: Any) -> Terms:
    return msgspec.structs.replace(Terms(quorums=quorums or (FINANCE,)), **changes)


def asked(**changes: Any) -> Asked:
    plain = Asked(
        call=new_id(NOW), function="payments.createTransfer", target="payments",
        principal=Who("corp", "agent-7", ("agents",), "alice", "f00d", "agent-7"), args=msgspec.Raw(b'{"amount":25000}'),
        digest="sha256:" + "1" * 64, schema="2" * 32, version="v1", policies=("big transfers",),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def approval(**changes: Any) -> Approval:
    plain = Approval(
        id=new_id(NOW), key="sha256:" + "3" * 64, state=State.PENDING, created_at=NOW, expires_at=NOW + 900,
        asked=asked(), terms=(terms(),),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def answer(subject: str, *groups: str, yes: bool = True, at: float = NOW + 1) -> Answer:
    return Answer(issuer="corp", subject=subject, groups=groups or ("finance",), yes=yes, at=at, channel="test")


def principal(subject: str = "agent-7", *groups: str, acts_for: str | None = "alice") -> Principal:
    return make_principal(
        "corp",
        subject,
        frozenset(groups or ("agents",)),
        {},
        "f00d",
        NOW + 3600,
        acts_for,
        subject if acts_for else None,
    )


def call(**changes: Any) -> Call:
    plain: dict[str, Any] = {
        "id": new_id(NOW), "target": "payments", "function": "payments.createTransfer", "args": {"amount": 25000},
        "principal": principal(), "session": "s1", "digest": "sha256:" + "1" * 64, "received_at": NOW,
    }  # fmt: skip
    return Call(**{**plain, **changes})


def decision(*asked_terms: Terms) -> RequireApproval:
    return RequireApproval(asked_terms or (terms(),), ("big transfers",), "v1")
