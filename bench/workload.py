"""What every peer is asked: one token, one request, one answer full of sensitive values and one of the same size with none.

All of it is made here and belongs to nobody: keys are made for each run, cards pass Luhn by construction.
"""

import json
import random
import time
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER = "https://idp.bench.example"
AUDIENCE = "funcgate"
TARGET = "payments"
GROUP = "payments-agents"
TARGET_KEY = "bench-target-credential-5f1d0c7a"  # the secret that funcgate injects; the upstream looks for it
PATH = "/transfers/acct-20417"
CLEAN_PATH = "/statements/acct-20417"
RECORDS = 7
_NAMES = ("ines.moreau", "tomas.lindqvist", "aiko.tanabe", "rui.carvalho", "greta.holm", "samir.haddad", "nora.keane")


class Workload(NamedTuple):
    """The tokens and keys of one run. `tokens`: good, bad (forged signature) and outsider (good, but of no group)."""

    jwks: dict[str, Any]
    good: str
    bad: str
    outsider: str


class Answer(NamedTuple):
    """One answer of the upstream, and the sensitive values that are in it."""

    body: bytes
    secrets: tuple[str, ...]


def make_workload() -> Workload:
    """Keys and tokens for one run, valid for a day."""
    key = ECKey.generate_key("P-256", {"kid": "bench-2026", "alg": "ES256", "use": "sig"})
    stranger = ECKey.generate_key("P-256", {"kid": "bench-2026"})
    groups = [GROUP, "engineering", "eu-west"]
    return Workload(
        {"keys": [key.as_dict(private=False)]},
        _token(key, groups),
        _token(stranger, groups),
        _token(key, ["marketing", "engineering", "eu-west"]),
    )


def make_body(amount: int = 1250) -> bytes:
    """The call's JSON body, about 200 bytes, with nothing sensitive in it."""
    fields = {
        "amount": amount,
        "currency": "EUR",
        "recipient": "Brightwater Supplies Ltd",
        "reference": "order BW-7731, second instalment",
        "urgent": False,
        "tags": ["supplier", "monthly", "north"],
        "memo": "agreed on the call with finance",
    }
    return json.dumps(fields).encode()


def make_request(path: str, token: str, body: bytes, host: str) -> bytes:
    """The request's bytes, as an ordinary client library would send them."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        f"User-Agent: payments-agent/2.4\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def sensitive_answer() -> Answer:
    """About 1.4 kB of JSON: seven records, each with a card, an e-mail address and a social security number."""
    dice = random.Random(20261121)
    secrets: list[str] = []
    records: list[dict[str, Any]] = []
    for index, name in enumerate(_NAMES):
        found = (_card(dice), f"{name}@mail{index}.example.com", _ssn(dice))
        secrets += found
        records.append(_record(dice, index) | {"card": found[0], "email": found[1], "ssn": found[2]})
    return Answer(_encode(records), tuple(secrets))


def clean_answer() -> Answer:
    """The same records, as long, with nothing to mask in them."""
    dice = random.Random(20261121)
    records = [
        _record(dice, index)
        | {"plan": "business account, small", "branch": "harbour street, ground floor", "tier": "silver pro"}
        for index in range(RECORDS)
    ]
    return Answer(_encode(records), ())


def _record(dice: random.Random, index: int) -> dict[str, Any]:
    status = dice.choice(["settled", "pending", "returned"])
    note = dice.choice(["paid in full by the customer", "second reminder was sent out", "held until the end of week"])
    return {
        "id": f"tr_{index:04d}",
        "status": status,
        "amount": dice.randint(10, 9_999),
        "currency": "EUR",
        "note": note,
    }


def _encode(records: list[dict[str, Any]]) -> bytes:
    return json.dumps({"items": records, "next": None, "total": len(records)}, separators=(",", ":")).encode()


def _card(dice: random.Random) -> str:
    digits = [4] + [dice.randrange(10) for _ in range(14)]
    doubled = sum(d if place % 2 else sum(divmod(2 * d, 10)) for place, d in enumerate(digits))
    number = "".join(map(str, [*digits, -doubled % 10]))
    return " ".join(number[at : at + 4] for at in range(0, 16, 4))


def _ssn(dice: random.Random) -> str:
    return f"{dice.randint(101, 649)}-{dice.randint(11, 98)}-{dice.randint(1001, 9998)}"


def _token(key: ECKey, groups: list[str]) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "agent:payments-reconciler",
        "aud": AUDIENCE,
        "iat": now - 5,
        "nbf": now - 5,
        "exp": now + 86_400,
        "jti": "0191f2f4-7a55-7c1e-9b51-6f0c36b1a9d2",
        "azp": "payments-reconciler",
        "sid": "b1f0a7c2-53de-4f0e-8f6f-3a4f3f4e9c11",
        "scope": "openid profile transfers:read transfers:write",
        "groups": groups,
        "name": "Payments Reconciler",
        "act": {"sub": "ci-runner-12"},
    }
    return jwt.encode({"alg": "ES256", "kid": "bench-2026", "typ": "at+jwt"}, claims, key, algorithms=["ES256"])
