"""Public keys that verify tokens: read from a JWK set (RFC 7517), each tied to the algorithms it may be used with.

Pure. Refuses private and symmetric keys, keys for encryption, weak keys, and every algorithm outside the table.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from .strictjson import NotJson, read_object

MAX_KEYS = 200
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16384

# alg -> (kty, curves), after RFC 7518 (3.1), RFC 8037 and RFC 9864. Neither "none" nor HMAC is here: they cannot be
# configured, so a token cannot ask for them.
ALGORITHMS: Mapping[str, tuple[str, frozenset[str]]] = {
    "RS256": ("RSA", frozenset()),
    "RS384": ("RSA", frozenset()),
    "RS512": ("RSA", frozenset()),
    "PS256": ("RSA", frozenset()),
    "PS384": ("RSA", frozenset()),
    "PS512": ("RSA", frozenset()),
    "ES256": ("EC", frozenset({"P-256"})),
    "ES384": ("EC", frozenset({"P-384"})),
    "ES512": ("EC", frozenset({"P-521"})),
    "EdDSA": ("OKP", frozenset({"Ed25519", "Ed448"})),
    "Ed25519": ("OKP", frozenset({"Ed25519"})),
    "Ed448": ("OKP", frozenset({"Ed448"})),
}


class UnusableKey(ValueError):
    """A JWK that verifies no token here. Its text says why and holds no key material."""


class PublicKey:
    """One key of a set. `algorithms` are the only ones it verifies; `good_until` (Unix time) is 0 once it left the set."""

    __slots__ = ("_key", "algorithms", "good_until", "jwk", "kid")

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Raises `UnusableKey`."""
        self.jwk = dict(jwk)
        self.kid = _kid(jwk)
        self.algorithms = _algorithms(jwk)
        self.good_until = 0.0
        try:
            self._key = JWKRegistry.import_key({name: value for name, value in jwk.items() if name not in _UNREAD})
        except (JoseError, ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise UnusableKey(f"its values are not those of a key ({type(error).__name__})") from None

    def verify(self, alg: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is the key's own over `signed`. False for an algorithm that is not the key's."""
        # Attack: verify an RSA key's signature as HMAC, or PS256 as RS256 (RFC 8725, 3.1).
        if alg not in self.algorithms:
            return False
        return bool(JWSRegistry.algorithms[alg].verify(signed, signature, self._key))

    def __repr__(self) -> str:
        return f"PublicKey({self.jwk.get('kty')})"


_UNREAD = frozenset({"x5c", "x5u", "x5t", "x5t#S256"})


def read_key_set(document: bytes) -> tuple[list[PublicKey], list[str]]:
    """The usable keys of a JWK set, and why the others are not used. Raises `NotJson` for anything but a JWK set."""
    entries = read_object(document).get("keys")
    if not isinstance(entries, list):
        raise NotJson('has no list "keys"')
    if len(entries) > MAX_KEYS:
        raise NotJson(f"has more than {MAX_KEYS} keys")
    keys: list[PublicKey] = []
    ignored: list[str] = []
    for at, jwk in enumerate(entries):
        try:
            if not isinstance(jwk, dict):
                raise UnusableKey("it is not an object")
            if not any(jwk == key.jwk for key in keys):
                keys.append(PublicKey(jwk))
        except UnusableKey as why:
            ignored.append(f"key {at} is not used: {why}")
    return keys, ignored


def fitting(keys: Iterable[PublicKey], kid: str | None, alg: str) -> list[PublicKey]:
    """Those of `keys` that have this `kid` (any, if it is None) and verify `alg`."""
    return [key for key in keys if (kid is None or key.kid == kid) and alg in key.algorithms]


def _kid(jwk: Mapping[str, Any]) -> str | None:
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKey("its kid is not a string")
    return kid


def _algorithms(jwk: Mapping[str, Any]) -> frozenset[str]:
    """The algorithms that the JWK allows by its kty, crv, alg, use and key_ops (RFC 7517, section 4)."""
    kty, curve, alg = (jwk.get(name) for name in ("kty", "crv", "alg"))
    if not all(value is None or isinstance(value, str) for value in (kty, curve, alg)):
        raise UnusableKey("its kty, crv or alg is not a string")
    if kty not in ("RSA", "EC", "OKP"):
        # Attack: a symmetric key in a published set would let everybody who reads it sign tokens.
        raise UnusableKey("its kty is none of RSA, EC, OKP")
    if "d" in jwk:
        raise UnusableKey("it is a private key: whoever reads the set can sign tokens with it")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey('its use is not "sig"')
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKey('its key_ops do not have "verify"')
    if kty == "RSA":
        _check_rsa_size(jwk.get("n"))
    found = {name for name, (wanted, curves) in ALGORITHMS.items() if wanted == kty and (not curves or curve in curves)}
    if alg is not None:
        found &= {alg}
    if not found:
        raise UnusableKey("no algorithm known here fits its kty, crv and alg")
    return frozenset(found)


def _check_rsa_size(modulus: object) -> None:
    try:
        bits = int.from_bytes(base64.urlsafe_b64decode(str(modulus).encode("ascii") + b"==")).bit_length()
    except ValueError:
        raise UnusableKey("its modulus is not base64url") from None
    # Attack: a modulus that can be factored, or one so large that each verification stops the gateway for a while.
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise UnusableKey(f"its RSA modulus has {bits} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}")
