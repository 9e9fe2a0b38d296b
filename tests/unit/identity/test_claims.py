"""Claims of a token whose signature is right: what is accepted, who it makes, what is refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from funcgate.core.refusal import Code
from funcgate.identity import Issuers

Make = Callable[..., Issuers]
NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://idp.example/"}, "iss"),
        ({"iss": "https://IDP.example"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"iss": None}, "iss"),
        ({"iss": ["https://idp.example"]}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": "FUNCGATE"}, "aud"),
        ({"aud": "funcgate "}, "aud"),
        ({"aud": ["other", "another"]}, "aud"),
        ({"aud": ["funcgate", 1]}, "aud"),
        ({"aud": [["funcgate"]]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {"funcgate": 1}}, "aud"),
        ({"aud": ...}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": ...}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": str(NOW + 600)}, "exp"),
        ({"exp": [NOW + 600]}, "exp"),
        ({"exp": 10**30}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"exp": -1}, "exp"),
        ({"nbf": NOW + 31}, "nbf"),
        ({"nbf": "0"}, "nbf"),
        ({"nbf": False}, "nbf"),
        ({"nbf": None}, "nbf"),
        ({"iat": NOW + 31}, "iat"),
        ({"iat": "yesterday"}, "iat"),
        ({"iat": 1e99}, "iat"),
        ({"sub": ...}, "subject"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": ["alice"]}, "subject"),
        ({"sub": "alice\nroot"}, "subject"),
        ({"sub": "alice\x00"}, "subject"),
        ({"sub": "a" * 2049}, "subject"),
        ({"groups": "staff admin"}, "groups"),
        ({"groups": "staff,admin"}, "groups"),
        ({"groups": ""}, "groups"),
        ({"groups": 5}, "groups"),
        ({"groups": {"staff": True}}, "groups"),
        ({"groups": ["staff", 5]}, "groups"),
        ({"groups": ["staff", None]}, "groups"),
        ({"groups": ["staff", ["admin"]]}, "groups"),
        ({"groups": ["staff", ""]}, "groups"),
        ({"groups": ["staff\n"]}, "groups"),
        ({"groups": [f"g{n}" for n in range(1001)]}, "groups"),
        ({"groups": ..., "_claim_names": {"groups": "src1"}}, "groups"),
        ({"act": None}, "act"),
        ({"act": "agent"}, "act"),
        ({"act": {}}, "act"),
        ({"act": {"sub": 5}}, "act"),
        ({"act": {"sub": ""}}, "act"),
    ],
)  # fmt: skip
def test_claims_that_are_refused(
    claims: dict[str, Any], word: str, make: Make, signer: Any, kit: SimpleNamespace
) -> None:
    refused = kit.refusal(make(signer), signer.token(**claims))
    assert (refused.code, refused.status) == (Code.IDENTITY_INVALID, 401)
    assert word in refused.private_detail


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["other", "funcgate"]},
        {"aud": "gate-2"},
        {"exp": NOW + 0.5},
        {"exp": NOW - 29},
        {"nbf": NOW + 30, "iat": NOW + 30},
        {"nbf": NOW + 29.5},
        {"iat": ...},
    ],
)
def test_claims_that_are_accepted(claims: dict[str, Any], make: Make, signer: Any, kit: SimpleNamespace) -> None:
    assert kit.identify(make(signer, audience=["funcgate", "gate-2"]), signer.token(**claims)).subject == "alice"


def test_expired_is_said_only_of_a_token_that_is_right_otherwise(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    assert kit.refusal(issuers, signer.token(exp=NOW - 30)).code == Code.IDENTITY_EXPIRED
    assert kit.refusal(issuers, signer.token(exp=0)).code == Code.IDENTITY_EXPIRED
    assert kit.refusal(issuers, signer.token(exp=NOW - 30, aud="other")).code == Code.IDENTITY_INVALID
    assert kit.refusal(issuers, signer.token(exp=NOW - 30, nbf=NOW + 60)).code == Code.IDENTITY_INVALID
    forged = kit.Signer("k1").token(exp=NOW - 30)
    assert kit.refusal(issuers, forged).code == Code.IDENTITY_INVALID


def test_leeway_can_be_none(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer, leeway=0)
    assert kit.refusal(issuers, signer.token(exp=NOW)).code == Code.IDENTITY_EXPIRED
    assert kit.refusal(issuers, signer.token(nbf=NOW + 0.001)).code == Code.IDENTITY_INVALID
    assert kit.identify(issuers, signer.token(exp=NOW + 0.001, nbf=NOW, iat=NOW)).subject == "alice"


@pytest.mark.parametrize(
    ("path", "claims", "groups"),
    [
        ("groups", {"groups": ["a", "b", "a"]}, {"a", "b"}),
        ("groups", {"groups": "a"}, {"a"}),
        ("groups", {"groups": []}, set()),
        ("groups", {"groups": ...}, set()),
        ("groups", {"groups": ["with space", "a,b"]}, {"with space", "a,b"}),
        ("realm_access.roles", {"realm_access": {"roles": ["r"]}}, {"r"}),
        ("realm_access.roles", {"realm_access": ["roles"]}, set()),
        ("https://corp.example/groups", {"https://corp.example/groups": ["g"]}, {"g"}),
        ("a.b", {"a": {"b": ["inner"]}, "a.b": ["outer"]}, {"outer"}),
        ("groups", {"groups": [f"g{n}" for n in range(1000)]}, {f"g{n}" for n in range(1000)}),
    ],
)  # fmt: skip
def test_where_groups_are(
    path: str, claims: dict[str, Any], groups: set[str], make: Make, signer: Any, kit: SimpleNamespace
) -> None:
    assert kit.identify(make(signer, groups=path), signer.token(**claims)).groups == groups


def test_another_claim_can_name_the_subject(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer, subject="client_id")
    assert kit.identify(issuers, signer.token(client_id="ci-7")).subject == "ci-7"
    assert "subject" in kit.refusal(issuers, signer.token()).private_detail


def test_an_address_names_nobody_until_it_is_verified(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer, subject="email")
    assert kit.identify(issuers, signer.token(email="a@corp.example", email_verified=True)).subject == "a@corp.example"
    for verified in (False, ..., "true", 1, None):
        refused = kit.refusal(issuers, signer.token(email="a@corp.example", email_verified=verified))
        assert "email_verified" in refused.private_detail
        assert "corp.example" not in refused.private_detail


def test_an_agent_acts_for_the_subject(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    token = signer.token(act={"sub": "agent-7", "act": {"sub": "an earlier one"}})
    principal = kit.identify(make(signer), token)
    assert (principal.subject, principal.acts_for, principal.actor) == ("alice", "alice", "agent-7")
    assert "user:alice" in principal.selectors
    assert "user:agent-7" not in principal.selectors
    alone = kit.identify(make(signer), signer.token())
    assert (alone.acts_for, alone.actor) == (None, None)


def test_no_value_of_a_claim_reaches_the_detail(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    canary = "canary-7f3a"
    for claims in (
        {"aud": canary},
        {"sub": canary + "\n"},
        {"groups": canary + " x"},
        {"exp": canary},
        {"iss": canary},
    ):
        refused = kit.refusal(make(signer), signer.token(**claims))
        assert canary not in refused.private_detail
        assert canary not in str(refused)
        assert canary not in repr(refused)
