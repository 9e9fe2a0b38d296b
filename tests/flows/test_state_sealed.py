"""`journal.encryption` and the database of held calls, through real gateways: turned on, lost, exchanged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from support import forked
from support.authority import Authority
from support.gate import CANARY, Gate
from support.target import Target

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m", "grants": {"calls": 3, "expires": "1h"}},
}  # fmt: skip
NOTE, REASON, WHY, LEFT = "note-4711", "because-of-8822", "fine-by-3003", "gone-5151"
CLEAR = {NOTE, REASON, WHY, LEFT, "agent-7", '"subject":"bob"', "corp/ada"}  # long enough to be in no hash by chance


@pytest.fixture
def gate(make_gate: Callable[..., Gate], tmp_path: Path) -> Gate:
    for name, key in (("first", "11"), ("second", "22")):
        (tmp_path / f"{name}.key").write_text(key * 32)
        (tmp_path / f"{name}.key").chmod(0o600)
    return make_gate(policies=[POLICY], roles={"admin": ["user:ada"]})


def encrypted(gate: Gate, key: str) -> None:
    """The configuration from now on; "" for no encryption."""
    settings = YAML(typ="safe").load(gate.file)
    settings["journal"] = {"encryption": {"key": f"file:../{key}.key"}} if key else {}
    gate.write(settings)


def order(gate: Gate, token: str, amount: int) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "prefer": "wait=0", "funcgate-reason": REASON}
    body = {"amount": amount, "note": NOTE}
    return httpx.post(f"{gate.url}/shop/orders", json=body, headers=headers, timeout=30, trust_env=False)


def api(gate: Gate, token: str, path: str, **said: Any) -> None:
    where = f"http://127.0.0.1:{gate.console}/api/v1/{path}"
    done = httpx.post(where, headers={"authorization": f"Bearer {token}"}, json=said, timeout=30, trust_env=False)
    assert done.status_code in (200, 201), done.text


def readable(gate: Gate) -> set[str]:
    raw = b"".join(file.read_bytes() for file in gate.data.glob("state.db*"))
    return {value for value in CLEAR if value.encode() in raw}


def refused(gate: Gate) -> str:
    ended = forked.run("serve", "--config", gate.file, environment={"SHOP_KEY": CANARY, "PATH": ""})
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
    return ended.stderr


@pytest.mark.slow
def test_from_clear_to_sealed_to_another_key(gate: Gate, authority: Authority, target: Target) -> None:
    agent, bob, ada = (
        authority.token("agent-7"),
        authority.token("bob", ("finance",)),
        authority.token("ada", ("staff",)),
    )
    gate.start()
    held = [order(gate, agent, amount).json()["approval"]["id"] for amount in (1, 2, 3)]
    grant = {"calls": 2, "for_s": 1800, "ranges": {"amount": {"from": 1, "to": 1}}}
    api(gate, bob, f"approvals/{held[0]}/approve", reason=WHY, grant=grant)
    api(gate, ada, "revocations", issuer="corp", subject=LEFT, reason=WHY)
    assert readable(gate) == CLEAR
    gate.kill()  # with a write-ahead log that is full of it

    encrypted(gate, "first")
    gate.start()
    assert readable(gate) == set()
    assert order(gate, authority.token(LEFT), 1).status_code == 401
    assert order(gate, agent, 1).status_code == 200  # approved before
    assert order(gate, agent, 1).status_code == 200  # by the grant
    api(gate, bob, f"approvals/{held[1]}/approve", reason=WHY)
    assert order(gate, agent, 2).status_code == 200
    assert order(gate, agent, 3).json()["approval"]["id"] == held[2]
    assert len(target.ledger) == 3
    assert readable(gate) == set()
    assert gate.stop() == 0

    before = (gate.data / "state.db").read_bytes()
    journal = len(gate.entries())
    encrypted(gate, "")
    assert "names no journal.encryption.key" in refused(gate)
    encrypted(gate, "second")
    (gate.data / "keys" / "check").rename(gate.folder / "check")  # the content keys' own check comes first
    assert "go over to the new one with funcgate audit rekey" in refused(gate)
    (gate.folder / "check").rename(gate.data / "keys" / "check")
    assert (gate.data / "state.db").read_bytes() == before
    assert len(gate.entries()) == journal

    rekey = ["audit", "rekey", "--from", "file:first.key", "--config", str(gate.file)]
    done = forked.run(*rekey, folder=gate.folder.parent)
    assert (done.returncode, "and the state's" in done.stdout) == (0, True), done.stderr
    gate.start()
    api(gate, bob, f"approvals/{held[2]}/approve", reason=WHY)
    assert order(gate, agent, 3).status_code == 200
    assert len(target.ledger) == 4
    assert gate.stop() == 0
    assert readable(gate) == set()
