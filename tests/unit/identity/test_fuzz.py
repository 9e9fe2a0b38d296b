"""Whatever is sent, the answer is a Principal or a refusal; and no change to a good token is accepted."""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.identity import Issuers
from support.quick import examples

Make = Callable[..., Issuers]
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
fuzzed = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def verdict(issuers: Issuers, token: RawToken) -> Principal | None:
    (result,) = await asyncio.gather(issuers.identify(token), return_exceptions=True)
    if isinstance(result, Principal):
        return result
    assert isinstance(result, Refused), result
    assert result.code in (Code.IDENTITY_INVALID, Code.IDENTITY_EXPIRED, Code.IDENTITY_MISSING)
    assert result.private_detail.isprintable()
    return None


def test_no_character_of_a_token_can_be_changed(make: Make, signer: Any) -> None:
    issuers, value = make(signer), signer.token().value

    async def story() -> None:
        assert await verdict(issuers, RawToken(value))
        for at, letter in enumerate(value):
            for other in (
                ALPHABET[(ALPHABET.find(letter) + 1) % 64],
                ALPHABET[ALPHABET.find(letter) ^ 32],
                ord("="),
                0,
            ):
                changed = value[:at] + bytes([other]) + value[at + 1 :]
                assert changed == value or await verdict(issuers, RawToken(changed)) is None
            assert await verdict(issuers, RawToken(value[:at])) is None
            assert await verdict(issuers, RawToken(value[:at] + value[at + 1 :])) is None

    asyncio.run(story())


@given(st.binary(max_size=200) | st.text(alphabet=".AZaz09-_=", max_size=200).map(str.encode))
@fuzzed
def test_any_bytes(make: Make, signer: Any, data: bytes) -> None:
    assert asyncio.run(verdict(make(signer), RawToken(data))) is None


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "cty", "b64", "jwk", "x"]), values))
@fuzzed
def test_any_header(make: Make, signer: Any, kit: SimpleNamespace, header: dict[str, Any]) -> None:
    token = signer.sign(json.dumps(signer.header() | header).encode(), b"{}")
    assert asyncio.run(verdict(make(signer), token)) is None


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "groups", "act", "_claim_names"]), values
    )
)
@fuzzed
def test_any_claims(make: Make, signer: Any, claims: dict[str, Any]) -> None:
    principal = asyncio.run(verdict(make(signer, groups="groups.a"), signer.token(**claims)))
    if principal is not None:
        assert principal.subject
        assert all(isinstance(group, str) for group in principal.groups)


@given(st.binary(max_size=300))
@fuzzed
def test_any_signed_payload(make: Make, signer: Any, payload: bytes) -> None:
    token = signer.sign(json.dumps(signer.header()).encode(), payload)
    assert asyncio.run(verdict(make(signer), token)) is None


@pytest.mark.parametrize("count", [1, 300])
def test_a_flood_of_garbage_remembers_nothing(count: int, make: Make, signer: Any) -> None:
    issuers = make(signer)
    for number in range(count):
        assert asyncio.run(verdict(issuers, RawToken(b"a.b.%d" % number))) is None
    assert not issuers._tokens
