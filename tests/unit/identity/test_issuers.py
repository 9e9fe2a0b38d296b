"""What is remembered, keys in a file, several issuers, and configurations that must not be used."""

import asyncio
import base64
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jws import JWSRegistry

from funcgate.core.ports import Identity
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Code
from funcgate.identity import Issuers, IssuerSpec
from funcgate.identity.keys import UnusableKey, read_key_set

Make = Callable[..., Issuers]
FIELDS = {"name": "corp", "issuer": "https://idp.example", "audience": "funcgate"}


def test_it_is_the_port(make: Make, signer: Any) -> None:
    port: Identity = make(signer)
    assert port.recall(signer.token()) is None


def test_a_token_is_remembered_until_it_ends(make: Make, signer: Any, clock: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    token = signer.token(exp=kit.NOW + 100)
    principal = kit.identify(issuers, token)
    clock.at += 129.9
    assert issuers.recall(token) is principal
    clock.at += 0.2
    assert kit.refusal(issuers, token).code == Code.IDENTITY_EXPIRED


def test_a_refused_token_is_not_remembered(make: Make, signer: Any, clock: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    token = signer.token(nbf=kit.NOW + 60)
    kit.refusal(issuers, token)
    clock.at += 40
    assert kit.identify(issuers, token).subject == "alice"


def test_the_least_used_tokens_are_forgotten(tmp_path: Path, signer: Any, clock: Any, kit: SimpleNamespace) -> None:
    (tmp_path / "keys.json").write_bytes(kit.key_set(signer))
    issuers = Issuers([IssuerSpec(**FIELDS, jwks_file="keys.json")], base=tmp_path, now=clock, cache_tokens=3)
    tokens = [signer.token(jti=str(n)) for n in range(4)]
    for token in tokens[:3]:
        kit.identify(issuers, token)
    assert issuers.recall(tokens[0]) is not None
    kit.identify(issuers, tokens[3])
    assert [issuers.recall(token) is not None for token in tokens] == [True, False, True, True]


def test_large_tokens_cannot_fill_the_memory(make: Make, signer: Any, kit: SimpleNamespace, monkeypatch: Any) -> None:
    monkeypatch.setattr("funcgate.identity.issuers.CACHE_BYTES", 30_000)
    issuers = make(signer)
    tokens = [signer.token(pad="x" * 9_000, jti=str(n)) for n in range(5)]
    for token in tokens:
        kit.identify(issuers, token)
    assert [issuers.recall(token) is not None for token in tokens] == [False, False, False, True, True]


def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path, clock: Any, kit: SimpleNamespace) -> None:
    old, new = kit.Signer("old"), kit.Signer("new")
    path = tmp_path / "keys.json"
    path.write_bytes(kit.key_set(old))

    async def story() -> None:
        issuers = Issuers([IssuerSpec(**FIELDS, jwks_file="keys.json")], base=tmp_path, now=clock)
        await issuers.start()
        await issuers.identify(old.token())
        fresh = tmp_path / "fresh.json"
        fresh.write_bytes(kit.key_set(new))
        os.replace(fresh, path)
        assert (await issuers.identify(new.token())).subject == "alice"  # for its unknown kid
        assert issuers.recall(old.token()) is None
        # And without any call, once a second.
        fresh.write_bytes(kit.key_set(old))
        os.replace(fresh, path)
        known = new.token(jti="2")
        await issuers.identify(known)
        clock.at += 1
        await kit.until(lambda: issuers.recall(known) is None)
        # A file that is gone or broken: what is known serves on, and somebody is told.
        for breaking in (path.unlink, lambda: path.write_text("{"), path.mkdir):
            breaking()
            clock.at += 2
            await kit.until(issuers.warnings)
            assert (await issuers.identify(old.token(jti=str(clock.at)))).subject == "alice"
            if path.is_file():
                path.unlink()
        assert issuers.problems() == []
        clock.at += 24 * 3600
        assert len(issuers.problems()) == 1
        await issuers.close()

    asyncio.run(story())


def test_each_issuer_has_its_own_keys(tmp_path: Path, clock: Any, kit: SimpleNamespace) -> None:
    one, two = kit.Signer("k"), kit.Signer("k")
    (tmp_path / "one.json").write_bytes(kit.key_set(one))
    (tmp_path / "two.json").write_bytes(kit.key_set(two))
    specs = [
        IssuerSpec(name="one", issuer="https://one.example", audience="funcgate", jwks_file="one.json"),
        IssuerSpec(name="two", issuer="https://two.example", audience="gate", jwks_file="two.json", groups="roles"),
    ]
    issuers = Issuers(specs, base=tmp_path, now=clock)
    assert kit.identify(issuers, one.token(iss="https://one.example")).issuer == "one"
    principal = kit.identify(issuers, two.token(iss="https://two.example", aud="gate", roles=["r"]))
    assert (principal.issuer, principal.groups) == ("two", {"r"})
    # Attack: one issuer signs in the other's name; or its audience is borrowed.
    assert "signature" in kit.refusal(issuers, two.token(iss="https://one.example")).private_detail
    assert "aud" in kit.refusal(issuers, one.token(iss="https://one.example", aud="gate")).private_detail


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"jwks_file": "missing.json"}, "jwks_file"),
        ({"jwks_file": "empty.json"}, "jwks_file"),
        ({"jwks_file": "broken.json"}, "jwks_file"),
        ({"jwks_file": "."}, "jwks_file"),
        ({"jwks_file": "keys.json", "jwks_url": "https://idp.example/keys"}, "jwks_file"),
        ({"jwks_file": "keys.json", "ca_file": "keys.json"}, "ca_file"),
        ({"ca_file": "keys.json"}, "ca_file"),
        ({"ca_file": "missing.pem"}, "ca_file"),
        ({"issuer": "http://idp.example"}, "issuer"),
        ({"issuer": "idp.example"}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "https://idp.example?x=1"}, "issuer"),
        ({"issuer": "https://idp.example#x"}, "issuer"),
        ({"issuer": "https://user:pw@idp.example"}, "issuer"),
        ({"issuer": "https:///x"}, "issuer"),
        ({"issuer": "https://[::1"}, "issuer"),
        ({"issuer": "https://idp.example:99999"}, "issuer"),
        ({"issuer": "http://127.0.0.1.example"}, "issuer"),
        ({"jwks_url": "http://idp.example/keys"}, "jwks_url"),
        ({"jwks_url": "file:///etc/passwd"}, "jwks_url"),
        ({"jwks_url": "https://idp.example/k\ney"}, "jwks_url"),
        ({"audience": ""}, "audience"),
        ({"audience": []}, "audience"),
        ({"audience": ["funcgate", ""]}, "audience"),
        ({"name": ""}, "name"),
        ({"groups": ""}, "groups"),
        ({"subject": ""}, "subject"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["ES256", "none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["es256"]}, "algorithms"),
        ({"token_types": []}, "token_types"),
        ({"token_types": [""]}, "token_types"),
        ({"leeway": "1h"}, "leeway"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": "soon"}, "leeway"),
        ({"refresh": 0}, "refresh"),
        ({"cooldown": "0s"}, "cooldown"),
        ({"keep": float("nan")}, "keep"),
        ({"keep": float("inf")}, "keep"),
    ],
)  # fmt: skip
def test_configurations_that_must_not_be_used(
    change: dict[str, Any], at: str, tmp_path: Path, signer: Any, kit: SimpleNamespace
) -> None:
    (tmp_path / "keys.json").write_bytes(kit.key_set(signer))
    (tmp_path / "empty.json").write_bytes(b'{"keys": []}')
    (tmp_path / "broken.json").write_bytes(b'{"keys": ')
    with pytest.raises(Unusable) as caught:
        Issuers([IssuerSpec(**(FIELDS | change))], base=tmp_path)
    assert [problem.where for problem in caught.value.problems] == [("issuers", 0, at)]
    assert caught.value.problems[0].text


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    specs = [
        IssuerSpec(**FIELDS),
        IssuerSpec(**FIELDS),
        IssuerSpec(name="x", issuer="https://x.example", audience=[], leeway="?", jwks_file="missing.json"),
    ]
    with pytest.raises(Unusable) as caught:
        Issuers(specs, base=tmp_path)
    assert {problem.where for problem in caught.value.problems} == {
        ("issuers", 1, "name"), ("issuers", 1, "issuer"), ("issuers", 2, "audience"), ("issuers", 2, "leeway"),
    }  # fmt: skip


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"])
def test_plain_http_to_this_machine_is_allowed(url: str, tmp_path: Path) -> None:
    assert Issuers([IssuerSpec(**(FIELDS | {"issuer": url}))], base=tmp_path).problems()


def jwk(signer: Any, **change: Any) -> dict[str, Any]:
    return {name: value for name, value in (signer.public | change).items() if value is not ...}


def test_keys_that_verify_nothing(signer: Any, rsa: Any, kit: SimpleNamespace) -> None:
    bad = [
        jwk(signer, use="enc"),
        jwk(signer, use=None),
        jwk(signer, key_ops=["encrypt"]),
        jwk(signer, key_ops=[]),
        jwk(signer, key_ops="verify"),
        jwk(signer, alg="RS256"),
        jwk(signer, alg="HS256"),
        jwk(signer, alg="none"),
        jwk(signer, alg=["ES256"]),
        jwk(signer, crv="P-384"),
        jwk(signer, crv="secp256k1"),
        jwk(signer, crv=...),
        jwk(signer, crv=["P-256"]),
        jwk(signer, x=signer.public["y"]),
        jwk(signer, x="AA"),
        jwk(signer, x=5),
        jwk(signer, y=...),
        jwk(signer, kty="RSA"),
        jwk(signer, kty=...),
        jwk(signer, kty=["EC"]),
        jwk(signer, kid=5),
        jwk(signer, d="AA"),
        signer.key.as_dict(private=True),
        rsa.key.as_dict(private=True),
        jwk(rsa, e="AQ"),
        jwk(rsa, n="AQAB"),
        jwk(rsa, n=kit.b64(b"\xff" * 255)),
        jwk(rsa, n=kit.b64(b"\xff" * 4096)),
        jwk(rsa, n="=*="),
        jwk(rsa, n=...),
        {"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256"},
        {"kty": "OKP", "crv": "X25519", "x": kit.Signer("o", "EdDSA").public["x"]},
        {},
        "key",
        None,
    ]
    for entry in bad:
        keys, ignored = read_key_set(json.dumps({"keys": [entry, signer.public]}).encode())
        assert (len(keys), len(ignored)) == (1, 1), entry
        assert ignored[0].startswith("key 0 is not used: ")
    keys, ignored = read_key_set(json.dumps({"keys": [signer.public, signer.public, rsa.public]}).encode())
    assert (len(keys), ignored) == (2, [])
    assert issubclass(UnusableKey, ValueError)


def test_a_key_verifies_only_what_it_is_for(rsa: Any) -> None:
    (key,) = read_key_set(json.dumps({"keys": [jwk(rsa, alg="RS256")]}).encode())[0]
    signed, _, signature = rsa.token().value.rpartition(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")
    assert key.verify("RS256", signed, raw)
    for alg in ("PS256", "RS512", "HS256", "none", "ES256", ""):
        made = JWSRegistry.algorithms[alg].sign(signed, rsa.key) if alg in ("PS256", "RS512") else raw
        assert not key.verify(alg, signed, made)


def test_a_key_with_a_certificate_and_unknown_members_is_used(signer: Any) -> None:
    entry = jwk(signer, x5c=["bm8gY2VydGlmaWNhdGU="], x5t="AA", issuer="https://idp.example", exp=5, use="sig")
    assert len(read_key_set(json.dumps({"keys": [entry]}).encode())[0]) == 1


def test_no_token_in_any_repr(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    token = signer.token()
    principal = kit.identify(issuers, token)
    parts = token.value.decode().split(".")
    held = [getattr(issuers, name) for name in Issuers.__slots__ if name != "__weakref__"]
    for thing in (issuers, principal, token, held, issuers._known, kit.refusal(issuers, signer.token(exp=0))):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert not any(part in text for part in parts)
    with pytest.raises(TypeError):
        pickle.dumps(issuers)
