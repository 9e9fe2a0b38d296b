"""A folder with a sound configuration that tests break on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

SOUND = """\
listen:
  calls: 127.0.0.1:0
  console: 127.0.0.1:0
issuers:
  - name: corp
    issuer: https://idp.example
    audience: funcgate
    jwks_file: ./jwks.json
targets:
  - name: payments
    protocol: http
    url: http://127.0.0.1:9/v1
    functions:
      - name: createTransfer
        http: POST /transfers/{account}
        args: {account: string, amount: {type: integer, required: true}}
      - {name: getTransfer, http: "GET /transfers/{id}"}
policies:
  - name: small transfers
    effect: allow
    functions: [payments.createTransfer]
    principals: ["group:agents"]
    when: args.amount <= 10000
  - name: reading
    effect: allow
    functions: ["payments.get*"]
    principals: ["*"]
masking:
  - functions: ["payments.*"]
    detect: [email]
"""

OPENAPI = """\
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /transfers:
    get: {operationId: listTransfers, responses: {"200": {description: ok}}}
"""

Write = Callable[..., Path]


@pytest.fixture
def sound() -> str:
    return SOUND


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes ``funcgate.yaml``: the sound one with replacements (each must hit), or another text."""
    key = jwk.ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    (tmp_path / "payments.openapi.yaml").write_text(OPENAPI)

    def write(*replacements: tuple[str, str], text: str = SOUND, **_: Any) -> Path:
        for old, new in replacements:
            assert old in text, f"{old!r} is not in the sound configuration"
            text = text.replace(old, new)
        path = tmp_path / "funcgate.yaml"
        path.write_text(text)
        return path

    return write
