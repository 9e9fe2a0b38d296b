"""What a worker gets of the gateway's environment, and what it does not."""

import asyncio
import os
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.app.workers import messages
from funcgate.app.workers.environment import carried, plain
from funcgate.app.workers.messages import Begin, Prepare
from funcgate.app.workers.worker import Worker
from funcgate.config.parts import Parts
from funcgate.config.problems import Faulty
from support.authority import Authority

TEXT = """\
listen: {calls: 127.0.0.1:0, console: 127.0.0.1:0, workers: 2}
data_dir: ./data
issuers:
  - {name: corp, issuer: https://idp.example, audience: funcgate, jwks_file: JWKS}
journal: {encryption: {key: "env:CONTENT_KEY"}}
targets:
  - name: shop
    protocol: http
    url: http://127.0.0.1:1
    functions: [{name: read, http: GET /read}]
    credential: {type: bearer, secret: "env:SHOP_KEY"}
policies:
  - {name: readers, effect: allow, functions: [shop.read], principals: ["group:agents"]}
channels:
  - {name: ops, type: webhook, url: "https://ops.example/hook", secret: "env:PYTHON_HOOK_KEY",
     people: [{id: a, issuer: corp, subject: alice}]}
forward:
  - {name: siem, type: webhook, url: "https://siem.example/in", secret: "env:SIEM_KEY"}
"""
SECRETS = {
    "CONTENT_KEY": "ab" * 32,
    "SHOP_KEY": "canary-shop-0123456789abcdef",
    "PYTHON_HOOK_KEY": "canary-hook-0123456789abcdef",
    "SIEM_KEY": "canary-siem-0123456789abcdef",
}
CARRIED = {"CONTENT_KEY", "SHOP_KEY"}


@pytest.fixture
def read(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    (tmp_path / "funcgate.yaml").write_text(TEXT.replace("JWKS", str(authority.jwks_file)))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return read_parts(tmp_path / "funcgate.yaml")


def test_only_what_calls_need(read: Parts) -> None:
    config = read.loaded.config
    given = {
        **SECRETS,
        "PATH": "/bin",
        "LC_ALL": "C",
        "PYTHONPATH": "x",
        "AWS_SECRET_ACCESS_KEY": "a",
        "FUNCGATE_TOKEN": "t",
    }
    assert plain(config, given) == {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "x"}
    assert carried(config, given) == {name: SECRETS[name] for name in CARRIED}
    assert carried(config, {}) == {}


def test_cryptography_is_the_gateways(read: Parts) -> None:
    """Attack: the operator's provider cannot be found in a worker, which goes on with another one."""
    given = {"OPENSSL_CONF": "/c", "OPENSSL_MODULES": "/m", "OPENSSL_CONF_INCLUDE": "/i", "GLIBC_TUNABLES": "g"}
    assert plain(read.loaded.config, given) == given


def test_a_worker_reads_the_file_without_the_rest(read: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS.keys() - CARRIED:
        monkeypatch.delenv(name)
    with pytest.raises(Faulty, match="PYTHON_HOOK_KEY is not set"):
        read_parts(tmp_path / "funcgate.yaml")
    parts = read_parts(tmp_path / "funcgate.yaml", carrying=True)
    assert parts.version == read.version
    assert not any(secret for channel in parts.channels for secret in channel.secrets.values())
    again = read_parts(tmp_path / "funcgate.yaml", carrying=True, previous=parts)
    assert again.version == read.version
    monkeypatch.delenv("SHOP_KEY")
    with pytest.raises(Faulty, match="SHOP_KEY is not set"):
        read_parts(tmp_path / "funcgate.yaml", carrying=True)


@pytest.mark.parametrize(
    "message", [Begin(path="p", version="v", number=0, workers=2, environ=SECRETS), Prepare("v", SECRETS)]
)
def test_the_messages_that_hold_secrets_do_not_show_them(message: Begin | Prepare) -> None:
    assert "canary" not in repr(message)
    assert messages.for_worker(messages.encode(message)) == message


def test_what_a_worker_is_sent_gets_into_no_environment(
    read: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: read there, after a reload, the credentials that it took away."""
    sent = carried(read.loaded.config)
    for name in SECRETS:
        monkeypatch.delenv(name)
    worker = Worker.__new__(Worker)
    worker._path = tmp_path / "funcgate.yaml"
    parts = asyncio.run(worker._read(read.version, sent, None))
    assert isinstance(parts, Parts)
    lease = parts.broker.lend("shop")
    assert lease.headers[0][1].reveal() == f"Bearer {SECRETS['SHOP_KEY']}"
    assert not SECRETS.keys() & os.environ.keys()
    assert isinstance(asyncio.run(worker._read(read.version, {}, parts)), str)  # nothing is left of what was sent
