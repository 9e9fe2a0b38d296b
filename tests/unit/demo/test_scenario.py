"""The script notices what is not as expected: a demo that cannot fail would prove nothing."""

import json
from typing import Any

import msgspec
import pytest

from funcgate.demo.payments import fingerprint
from funcgate.demo.scenario import STEPS, Step, Tried, complaints

KEY, TOKEN = "pay_key-of-this-test", "token.of.caller"
BY_NAME = {step.name: step for step in STEPS}


def tried(step: Step, answer: Any, **changes: Any) -> Tried:
    good = Tried(
        step=step, status=step.status, code=step.code, call_id="C1", text=json.dumps(answer), answer=answer, spent_ms="1"
    )  # fmt: skip
    return msgspec.structs.replace(good, **changes)


MASKED = {"ssn": "[REDACTED:us_ssn]", "email": "[REDACTED:email]", "card": "[REDACTED:credit_card]", "tier": "gold"}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("allowed", {"id": "t-1"}),
        ("masked answer", MASKED),
        ("whose credential", {"fingerprint": fingerprint(KEY)}),
        ("credential echoed", {"credential": "[CREDENTIAL]"}),
        ("denied by group", {"code": "policy.denied"}),
    ],
)
def test_what_is_as_expected_raises_no_complaint(name: str, answer: dict[str, Any]) -> None:
    assert complaints(tried(BY_NAME[name], answer), KEY, TOKEN) == []


@pytest.mark.parametrize(
    ("name", "answer", "changes", "complaint"),
    [
        ("denied by group", {}, {"status": 201, "code": ""}, "expected 403 policy.denied, got 201 ok"),
        ("denied by group", {}, {"code": "policy.error"}, "expected 403 policy.denied, got 403 policy.error"),
        ("allowed", {}, {"call_id": ""}, "names no call"),
        ("masked answer", {**MASKED, "was": "524-71-3906"}, {}, "the answer shows '524-71-3906'"),
        ("masked answer", {**MASKED, "tier": "?"}, {}, "does not show 'gold'"),
        ("whose credential", {"fingerprint": fingerprint(TOKEN)}, {}, "saw another credential"),
        ("credential echoed", {"credential": "[CREDENTIAL]", "x": KEY}, {}, "the answer shows a credential"),
        ("credential echoed", {"credential": "[CREDENTIAL]", "x": TOKEN}, {}, "the answer shows a credential"),
    ],
)
def test_what_is_not_as_expected_is_named(
    name: str, answer: dict[str, Any], changes: dict[str, Any], complaint: str
) -> None:
    found = complaints(tried(BY_NAME[name], answer, **changes), KEY, TOKEN)
    assert len(found) == 1
    assert complaint in found[0]
    assert KEY not in found[0]
    assert TOKEN not in found[0]


def test_the_script_covers_what_the_demo_promises() -> None:
    codes = {step.code for step in STEPS}
    assert codes >= {"", "policy.denied", "approval.pending", "function.unknown", "identity.expired", "request.invalid"}
    assert len({step.name for step in STEPS}) == len(STEPS)
