"""The development provider's page and codes: for whoever asked, once, with the verifier, and to this machine only."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from litestar import Litestar
from litestar.testing import TestClient

from funcgate.demo.provider import make_provider
from funcgate.identity.code_flow import challenge

ISSUER = "http://127.0.0.1:8091"
VERIFIER = "a-verifier-that-is-long-enough-for-rfc-7636-1234"
ASKED = {
    "response_type": "code", "client_id": "console", "redirect_uri": "http://127.0.0.1:8090/sign-in/callback",
    "state": "s<&", "nonce": "n", "code_challenge": challenge(VERIFIER), "code_challenge_method": "S256",
}  # fmt: skip
FORM = {
    "grant_type": "authorization_code", "client_id": "console", "redirect_uri": ASKED["redirect_uri"],
    "code_verifier": VERIFIER,
}  # fmt: skip


@pytest.fixture
def provider() -> Iterator[TestClient[Litestar]]:
    with TestClient(make_provider(ISSUER)) as client:
        yield client


def code(provider: TestClient[Litestar], **changes: str) -> str:
    answer = provider.post("/authorize", data={**ASKED, "subject": "finance-lead", **changes}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    sent = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (sent["state"], sent["iss"]) == ([ASKED["state"]], [ISSUER])
    return sent["code"][0]


def redeemed(provider: TestClient[Litestar], **form: str) -> Any:
    return provider.post("/token", data={**FORM, **form})


def test_a_person_signs_in(provider: TestClient[Litestar]) -> None:
    page = provider.get("/authorize", params=ASKED)
    assert page.status_code == 200
    assert 'value="finance-lead"' in page.text
    assert "s<&" not in page.text
    answer = redeemed(provider, code=code(provider)).json()
    token = jwt.decode(answer["id_token"], KeySet.import_key_set(provider.get("/jwks").json()), ["ES256"])
    assert token.header["typ"] == "JWT"
    told = {name: token.claims[name] for name in ("iss", "sub", "aud", "nonce", "groups", "email", "email_verified")}
    assert told == {
        "iss": ISSUER, "sub": "finance-lead", "aud": "console", "nonce": "n", "groups": ["finance"],
        "email": "finance-lead@example.com", "email_verified": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        {"code_verifier": "another-verifier"}, {"code_verifier": ""}, {"client_id": "other"}, {"code": "guessed"},
        {"redirect_uri": "http://127.0.0.1:9/"},
    ],
)  # fmt: skip
def test_a_code_is_for_whoever_asked_and_over_after_a_try(provider: TestClient[Litestar], form: dict[str, str]) -> None:
    got = code(provider)
    assert redeemed(provider, **{"code": got, **form}).json() == {"error": "invalid_grant"}
    assert redeemed(provider, code=got).status_code == (200 if "code" in form else 400)
    assert redeemed(provider, code=got).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/"}, {"redirect_uri": "http://127.0.0.1.evil.example/"},
        {"redirect_uri": "http://evil@127.0.0.2:1/"}, {"code_challenge": ""}, {"code_challenge_method": "plain"},
        {"response_type": "token"}, {"client_id": ""},
    ],
)  # fmt: skip
def test_what_it_does_not_do(provider: TestClient[Litestar], changes: dict[str, str]) -> None:
    assert provider.get("/authorize", params={**ASKED, **changes}).status_code == 400
    if {"redirect_uri", "code_challenge", "client_id"} & changes.keys():
        said = provider.post("/authorize", data={**ASKED, **changes, "subject": "finance-lead"}, follow_redirects=False)
        assert said.status_code == 400
    assert provider.post("/authorize", data={**ASKED, "subject": "nobody"}, follow_redirects=False).status_code == 400
