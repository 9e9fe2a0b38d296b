"""The development OpenID provider, through its own HTTP application."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet
from litestar import Litestar
from litestar.testing import TestClient

from funcgate.demo.provider import DEMO_PEOPLE, Person, make_provider

ISSUER = "http://127.0.0.1:8091"
Provider = TestClient[Litestar]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with TestClient(make_provider(ISSUER)) as client:
        yield client


def ask(provider: Provider, **form: str) -> dict[str, Any]:
    wanted = {"grant_type": "client_credentials", "client_id": "payments-agent", "client_secret": "demo", **form}
    answer = provider.post("/token", data=wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def keys(provider: Provider) -> KeySet:
    return KeySet.import_key_set(provider.get("/jwks").json())


def test_discovery_names_the_issuer_it_was_made_for(provider: Provider) -> None:
    document = provider.get("/.well-known/openid-configuration").json()
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == f"{ISSUER}/jwks"
    assert document["token_endpoint"] == f"{ISSUER}/token"


def test_a_token_verifies_with_the_published_key_and_holds_the_groups(provider: Provider) -> None:
    answer = ask(provider)
    token = jwt.decode(answer["access_token"], keys(provider), ["ES256"])
    assert token.header["typ"] == "at+jwt"
    assert token.claims["iss"] == ISSUER
    assert token.claims["sub"] == "payments-agent"
    assert token.claims["aud"] == "funcgate"
    assert token.claims["groups"] == ["payments-agents"]
    assert token.claims["exp"] == pytest.approx(time.time() + answer["expires_in"], abs=5)


def test_the_published_keys_are_public_halves_only(provider: Provider) -> None:
    published = provider.get("/jwks").json()["keys"]
    assert [set(key) & {"d", "p", "q", "k"} for key in published] == [set()]


def test_a_negative_lifetime_makes_a_consistent_token_that_has_expired(provider: Provider) -> None:
    claims = jwt.decode(ask(provider, lifetime="-600")["access_token"], keys(provider), ["ES256"]).claims
    assert claims["iat"] < claims["exp"] < time.time() - 590


def test_password_grant_audience_and_actor(provider: Provider) -> None:
    answer = ask(
        provider, grant_type="password", username="finance-lead", password="demo", audience="else", act="payments-agent"
    )
    claims = jwt.decode(answer["access_token"], keys(provider), ["ES256"]).claims
    assert (claims["sub"], claims["aud"], claims["act"]) == ("finance-lead", "else", {"sub": "payments-agent"})


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (
            {"grant_type": "client_credentials", "client_id": "payments-agent", "client_secret": "x"},
            401,
            "invalid_client",
        ),
        ({"grant_type": "client_credentials", "client_id": "stranger", "client_secret": "demo"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "password", "username": "finance-lead", "password": "é"}, 400, "invalid_grant"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
    ],
)
def test_who_proves_nothing_gets_nothing(provider: Provider, form: dict[str, str], status: int, error: str) -> None:
    answer = provider.post("/token", data=form)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize("lifetime", ["soon", "1e3", "99999999999"])
def test_a_lifetime_that_is_none_is_refused(provider: Provider, lifetime: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": "payments-agent", "client_secret": "demo"}
    answer = provider.post("/token", data={**form, "lifetime": lifetime})
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


def test_after_a_rotation_old_tokens_verify_until_the_old_keys_are_dropped(provider: Provider) -> None:
    old = ask(provider)["access_token"]
    kid = provider.post("/rotate").json()["kid"]
    assert provider.get("/jwks").json()["keys"][0]["kid"] == kid
    assert jwt.decode(old, keys(provider), ["ES256"]).claims["sub"] == "payments-agent"
    provider.post("/rotate", params={"drop": "true"})
    assert len(provider.get("/jwks").json()["keys"]) == 1
    with pytest.raises(InvalidKeyIdError):
        jwt.decode(old, keys(provider), ["ES256"])
    assert jwt.decode(ask(provider)["access_token"], keys(provider), ["ES256"]).claims["sub"] == "payments-agent"


def test_it_can_serve_other_people() -> None:
    with TestClient(make_provider(ISSUER, {"robot": Person(groups=("a", "b"), secret="s3")})) as client:
        answer = ask(client, client_id="robot", client_secret="s3")
        assert jwt.decode(answer["access_token"], keys(client), ["ES256"]).claims["groups"] == ["a", "b"]
    assert "robot" not in DEMO_PEOPLE
