"""Every way of RFC 8725 to get a token accepted that should not be, and the ways a good one comes."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from funcgate.core.principal import RawToken
from funcgate.core.refusal import Code
from funcgate.identity import Issuers

Make = Callable[..., Issuers]


@pytest.mark.parametrize(
    "alg", ["RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
)
def test_each_algorithm_is_accepted(alg: str, make: Make, kit: SimpleNamespace) -> None:
    signer = kit.Signer("k", alg)
    principal = kit.identify(make(signer), signer.token())
    assert (principal.issuer, principal.subject, principal.groups) == ("corp", "alice", {"staff"})
    assert principal.selectors == {"*", "user:alice", "group:staff"}
    assert principal.expires_at == kit.NOW + 600


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", None])
def test_types_that_are_accepted(typ: str | None, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    assert kit.identify(make(signer), signer.token({"typ": typ})).subject == "alice"


@pytest.mark.parametrize("typ", ["dpop+jwt", "logout+jwt", "secevent+jwt", "absent", "", 1, None, ["JWT"], "text/JWT"])
def test_types_that_are_not(typ: object, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    token = signer.sign(json.dumps(signer.header() | {"typ": typ}).encode(), b'{"iss":"https://idp.example"}')
    assert "typ" in kit.refusal(make(signer), token).private_detail


def test_a_type_can_be_demanded(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer, token_types=["at+jwt"])
    assert kit.identify(issuers, signer.token({"typ": "at+jwt"})).subject == "alice"
    for typ in ("JWT", None):
        assert "typ" in kit.refusal(issuers, signer.token({"typ": typ})).private_detail


def test_no_token_is_missing(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    for nothing in (None, RawToken(b"")):
        assert kit.refusal(make(signer), nothing).code == Code.IDENTITY_MISSING


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "none ", "RS257", None, 1, ["ES256"]]
)
def test_no_unsigned_token_and_no_unknown_algorithm(alg: object, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    good = signer.token().value.decode().split(".")
    header = kit.b64(json.dumps({"alg": alg, "kid": "k1", "typ": "JWT"}).encode())
    for signature in ("", good[2], "AA"):
        assert kit.refusal(make(signer), RawToken(f"{header}.{good[1]}.{signature}".encode())).status == 401


def test_hmac_with_the_public_key_is_refused(make: Make, rsa: Any, kit: SimpleNamespace) -> None:
    pem = rsa.key.as_pem(private=False)
    for secret in (pem, pem.strip(), rsa.key.as_bytes("DER", private=False), json.dumps(rsa.public).encode()):
        header = kit.b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "rsa"}).encode())
        signed = f"{header}.{rsa.token().value.decode().split('.')[1]}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        assert "alg" in kit.refusal(make(rsa), RawToken(f"{signed}.{kit.b64(mac)}".encode())).private_detail


def test_the_algorithm_is_the_issuers_and_the_keys_choice(make: Make, rsa: Any, kit: SimpleNamespace) -> None:
    token = rsa.sign(json.dumps(rsa.header(alg="PS256")).encode(), rsa_payload(kit), "PS256")
    assert kit.identify(make(rsa), token).subject == "alice"
    assert "PS256" in kit.refusal(make(rsa, algorithms=["RS256"]), token).private_detail
    # The same RSA key, but published for RS256 only.
    rsa_only = kit.Signer("only", "RS256")
    rsa_only.public["alg"] = "RS256"
    token = rsa_only.sign(json.dumps(rsa_only.header(alg="PS256")).encode(), rsa_payload(kit), "PS256")
    assert "no key" in kit.refusal(make(rsa_only), token).private_detail
    # The header says one RSA algorithm, the signature is of the other.
    token = rsa.sign(json.dumps(rsa.header(alg="RS256")).encode(), rsa_payload(kit), "PS256")
    assert "signature" in kit.refusal(make(rsa), token).private_detail


def rsa_payload(kit: SimpleNamespace) -> bytes:
    return json.dumps({"iss": kit.ISSUER, "aud": "funcgate", "sub": "alice", "exp": kit.NOW + 60}).encode()


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"crit": "x"},
        {"b64": False},
        {"b64": "false"},
        {"cty": "JWT"},
        {"kid": 5},
        {"kid": ""},
        {"kid": ["k1"]},
        {"kid": "x" * 2000},
    ],
)
def test_headers_that_are_refused(extra: dict[str, Any], make: Make, signer: Any, kit: SimpleNamespace) -> None:
    assert kit.refusal(make(signer), signer.token(extra)).code == Code.IDENTITY_INVALID


def test_keys_in_the_header_are_never_used(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    mallory = kit.Signer("k1")
    for extra in (
        {"jwk": mallory.public},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/"},
        {"x5c": ["AA"]},
    ):
        assert "signature" in kit.refusal(make(signer), mallory.token(extra)).private_detail
        assert kit.identify(make(signer), signer.token(extra)).subject == "alice"


@pytest.mark.parametrize("kid", ["k2", "../k1", "k1\x00", "K1", "k1 ", "' OR 1=1 --", "/dev/null", "k1\n"])
def test_a_kid_is_a_name_and_nothing_else(kid: str, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    refused = kit.refusal(make(signer), signer.token({"kid": kid}))
    assert refused.status == 401
    assert refused.private_detail.isprintable()


def test_without_kid_only_where_one_key_fits(make: Make, signer: Any, rsa: Any, kit: SimpleNamespace) -> None:
    token = signer.token({"kid": None})
    assert kit.identify(make(signer, rsa), token).subject == "alice"
    assert "more than one key" in kit.refusal(make(signer, kit.Signer("k2")), token).private_detail
    assert "more than one key" in kit.refusal(make(signer, kit.Signer("k1")), signer.token()).private_detail


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + b"A",
        lambda token: token + b"=",
        lambda token: token + b".",
        lambda token: token + b".AAAA",
        lambda token: b" " + token,
        lambda token: token + b"\n",
        lambda token: token.replace(b".", b"..", 1),
        lambda token: token.replace(b".", b"\n.", 1),
        lambda token: token.replace(b".", b"=.", 1),
        lambda token: token.replace(b".", b"+.", 1),
        lambda token: token.replace(b".", b"/.", 1),
        lambda token: token.replace(b".", b"\xc3\xa9.", 1),
        lambda token: token.rpartition(b".")[0] + b".",
        lambda token: token.rpartition(b".")[0],
        lambda token: b"." + token.partition(b".")[2],
        lambda token: b"Bearer " + token,
        lambda token: b"..",
        lambda token: b"{}",
        lambda token: token.partition(b".")[0] + b".e30." + token.rpartition(b".")[2],
        lambda token: b".".join([*token.split(b"."), b"AAAA", b"AAAA"]),
        lambda token: token + b"A" * 16_384,
        lambda token: b"eyJhbGciOiJFUzI1NiJ9." + b"W" * 16_000 + b".AA",
    ],
)  # fmt: skip
def test_shapes_that_are_no_token(
    change: Callable[[bytes], bytes], make: Make, signer: Any, kit: SimpleNamespace
) -> None:
    refused = kit.refusal(make(signer), RawToken(change(signer.token().value)))
    assert (refused.code, refused.status) == (Code.IDENTITY_INVALID, 401)


def test_a_token_has_a_largest_size(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    assert kit.identify(make(signer), signer.token(pad="x" * 11_000)).subject == "alice"
    assert "16384" in kit.refusal(make(signer), signer.token(pad="x" * 13_000)).private_detail


@pytest.mark.parametrize("kid", [5, "", ["k1"], "x" * 1025, {}, None, True])
def test_kids_that_are_no_names(kid: object, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    token = signer.sign(json.dumps(signer.header() | {"kid": kid}).encode(), b"{}")
    assert "kid is not a string" in kit.refusal(make(signer), token).private_detail


def test_one_token_has_one_spelling(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    token = signer.token().value.decode()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes of signature leave four unused bits in the last character.
    others = [token[:-1] + letters[letters.index(token[-1]) ^ bits] for bits in range(1, 16)]
    raw = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    assert all(base64.urlsafe_b64decode(other.rpartition(".")[2] + "==") == raw for other in others)
    for other in others:
        assert "spelling" in kit.refusal(issuers, RawToken(other.encode())).private_detail


HEADER = b'{"alg":"ES256","kid":"k1","typ":"JWT"}'


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"ES256","kid":"k1"}',
        b'{"alg":"ES256","kid":"k2","kid":"k1"}',
        b'{"alg":"ES256","kid":"k1","x":{"a":1,"a":2}}',
        b'{"alg":"ES256","kid":"k1","\\u0061lg":"ES256"}',
        b'{"alg":"ES256","kid":"k1","x":NaN}',
        b'{"alg":"ES256","kid":"k1","x":1e999}',
        b'{"alg":"ES256","kid":"k1","x":"\\ud800"}',
        b'{"alg":"ES256","kid":"k1","x":"\xff"}',
        b'\xef\xbb\xbf{"alg":"ES256","kid":"k1"}',
        b'{"alg":"ES256","kid":"k1"}{}',
        b'{"alg":"ES256","kid":"k1",}',
        b'["ES256"]',
        b'"ES256"',
        b"null",
        b"[" * 8000,
        b'{"x":' * 1500,
    ],
)
def test_headers_that_mean_two_things(header: bytes, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    assert "header" in kit.refusal(make(signer), signer.sign(header, b"{}")).private_detail


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"https://idp.example","sub":"alice","sub":"root","aud":"funcgate","exp":1800000600}',
        b'{"iss":"https://idp.example","sub":"a","aud":"funcgate","exp":Infinity}',
        b'{"iss":"https://idp.example","sub":"a","aud":"funcgate","exp":1e999}',
        b'{"iss":"https://idp.example","sub":"a","aud":"funcgate","exp":' + b"9" * 5000 + b"}",
        b'{"iss":"https://idp.example","sub":"\\udfff","aud":"funcgate","exp":1800000600}',
        b"[" * 9000,
        b'{"a":' * 1800,
        b"",
        b"eyJhbGciOiJub25lIn0.e30.",
        b"[]",
    ],
)
def test_payloads_that_mean_two_things(payload: bytes, make: Make, signer: Any, kit: SimpleNamespace) -> None:
    refused = kit.refusal(make(signer), signer.sign(HEADER, payload))
    assert refused.code == Code.IDENTITY_INVALID


def test_a_token_within_a_token_is_refused(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    inner = signer.token().value
    for header in (HEADER, b'{"alg":"ES256","kid":"k1","typ":"JWT","cty":"JWT"}'):
        assert kit.refusal(make(signer), signer.sign(header, inner)).status == 401


def test_what_was_signed_cannot_be_changed(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    header, _, signature = signer.token().value.decode().split(".")
    other = kit.b64(json.dumps({"iss": kit.ISSUER, "aud": "funcgate", "sub": "root", "exp": kit.NOW + 60}).encode())
    assert "signature" in kit.refusal(make(signer), RawToken(f"{header}.{other}.{signature}".encode())).private_detail


def test_the_sender_cannot_write_into_the_journal(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    for extra in ({"kid": "a\nb\x1b[31m" + "x" * 900}, {"alg": "ES\n256" + "y" * 900}, {"typ": "z\r\n" + "z" * 900}):
        detail = kit.refusal(make(signer), signer.token(extra)).private_detail
        assert detail.isprintable()
        assert len(detail) < 200
