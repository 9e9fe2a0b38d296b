"""Revocations in real gateways: what is refused, how soon, for how long, by whom, and what the record says of it."""

import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from typer.testing import CliRunner

from funcgate.cli.commands import application
from funcgate.core.principal import RawToken
from funcgate.identity.revoking import TOKEN_S
from support import forked
from support.authority import Authority
from support.gate import CANARY, Gate, until
from support.target import Target
from support.workers import WORKERS

Make = Callable[..., Gate]
POLICIES = [
    {"name": "agents", "effect": "allow", "functions": ["shop.read"], "principals": ["group:agents"]},
    {"name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
     "approval": {"approvers": ["group:finance"], "expires": "10m"}},
]  # fmt: skip
CHANGES: dict[str, Any] = {
    "policies": POLICIES, "roles": {"admin": ["user:ada"], "auditor": ["user:otto"]}, "target": {"limits": {"max_wait": "20s"}},
}  # fmt: skip


class People(Struct, frozen=True):
    """Tokens: an agent's, an administrator's, an auditor's, an approver's."""

    agent: str
    ada: str
    otto: str
    bob: str


@pytest.fixture(scope="module")
def people(authority: Authority) -> People:
    return People(
        authority.token("agent-7"),
        authority.token("ada", ("staff",)),
        authority.token("otto", ("staff",)),
        authority.token("bob", ("finance",)),
    )


def read(gate: Gate, token: str, **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {token}", **headers}
    return httpx.get(f"{gate.url}/shop/read", headers=given, timeout=30, trust_env=False)


def api(gate: Gate, by: str, path: str = "", method: str = "GET", /, **said: Any) -> httpx.Response:
    where = f"http://127.0.0.1:{gate.console}/api/v1/revocations{path}"
    return httpx.request(
        method, where, headers={"authorization": f"Bearer {by}"}, json=said or None, timeout=30, trust_env=False
    )


def revoke(gate: Gate, by: str, /, **what: Any) -> dict[str, Any]:
    done = api(gate, by, "", "POST", **({"reason": "lost laptop"} | what))
    assert done.status_code == 201, done.text
    return dict(done.json())


def fingerprint(token: str) -> str:
    return RawToken(token.encode()).fingerprint


def admin(gate: Gate, *what: str) -> list[dict[str, Any]]:
    return [entry for entry in gate.entries() if entry["kind"] == "admin" and entry["change"].get("what") in what]


def code(answer: httpx.Response) -> str:
    return str(answer.json().get("code", "")) if answer.status_code != 200 else "200"


def test_a_token_that_was_used_before_is_refused_at_once(make_gate: Make, authority: Authority, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    assert not (gate.data / "state.db").exists()
    other = authority.token("agent-7", jti="another")
    assert [read(gate, each).status_code for each in (people.agent, other)] == [200, 200]
    made = revoke(gate, people.ada, token=fingerprint(people.agent))
    refused = read(gate, people.agent)
    assert (refused.status_code, code(refused)) == (401, "identity.revoked")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert read(gate, other).status_code == 200
    # It stands until the token would have ended, which is known: it was used here. A worker's word makes it longer, not shorter.
    left_s = time.time() + (3600 + 300 if WORKERS == 1 else TOKEN_S)
    assert abs(time.mktime(time.strptime(made["until"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - left_s) < 90
    (entry,) = admin(gate, "revoke")
    assert entry["principal"]["subject"] == "ada"
    assert (entry["outcome"], entry["detail"], entry["change"]["revocation"]) == ("complete", "lost laptop", made["id"])
    (denied,) = [each for each in gate.entries() if each["kind"] == "denied"]
    assert denied["code"] == "identity.revoked"
    assert made["id"] in denied["detail"]
    assert "corp/agent-7" in denied["detail"]
    assert people.agent not in (gate.data / "state.db").read_bytes().decode("latin-1")
    lifted = api(gate, people.ada, f"/{made['id']}/lift", "POST", reason="found again")
    assert lifted.json()["lifted_by"] == "corp/ada"
    assert read(gate, people.agent).status_code == 200
    (entry,) = admin(gate, "lift revocation")
    assert (entry["principal"]["subject"], entry["detail"]) == ("ada", "found again")


def test_a_caller_is_refused_whatever_token_it_has(make_gate: Make, authority: Authority, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    acting = authority.token("carol", act={"sub": "agent-7"})
    assert read(gate, people.agent).status_code == read(gate, acting).status_code == 200
    made = revoke(gate, people.ada, issuer="corp", subject="agent-7")
    assert made["until"] is None
    for token in (
        people.agent,
        authority.token("agent-7", jti="new"),
        acting,
        authority.token("agent-7", act={"sub": "x"}),
    ):
        assert code(read(gate, token)) == "identity.revoked"
    assert read(gate, authority.token("carol")).status_code == 200
    # A reload changes nothing about it, and neither do a kill and a start.
    text = gate.file.read_text()
    gate.file.write_text(text.replace("name: agents\n", "name: all agents\n"))
    until(lambda: gate.logged("configuration reloaded"))
    assert code(read(gate, people.agent)) == code(read(gate, acting)) == "identity.revoked"
    gate.kill()
    gate.start()
    assert code(read(gate, people.agent)) == code(read(gate, acting)) == "identity.revoked"
    # The API and the command line hold to it, too.
    revoke(gate, people.ada, issuer="corp", subject="otto")
    assert api(gate, people.otto).json()["code"] == "identity.revoked"


def test_a_session_is_refused(make_gate: Make, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    first = read(gate, people.agent, **{"funcgate-session": "run-1"})
    session = gate.ended(first.headers["funcgate-call-id"])["session"]
    assert session.startswith("run-1")
    revoke(gate, people.ada, session=session)
    assert code(read(gate, people.agent, **{"funcgate-session": "run-1"})) == "identity.revoked"
    assert read(gate, people.agent, **{"funcgate-session": "run-2"}).status_code == 200


def test_a_held_call_is_refused_when_its_caller_is_revoked_while_it_waits(
    make_gate: Make, people: People, target: Target
) -> None:
    gate = make_gate(**CHANGES).start()
    bob, url = {"authorization": f"Bearer {people.bob}"}, f"http://127.0.0.1:{gate.console}/api/v1/approvals"

    def order(amount: int, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {people.agent}", "prefer": "wait=20", **headers}
        return httpx.post(f"{gate.url}/shop/orders", json={"amount": amount}, headers=given, timeout=30)

    def held(amount: int) -> dict[str, Any]:
        found = httpx.get(url, params={"state": "pending"}, headers=bob).json()["approvals"]
        return next((dict(each) for each in found if each["args"]["amount"] == amount), {})

    ways: list[dict[str, Any]] = [
        {"session": ""}, {"token": fingerprint(people.agent)}, {"issuer": "corp", "subject": "agent-7"},
    ]  # fmt: skip
    with ThreadPoolExecutor(1) as callers:
        for amount, way in enumerate(ways, 1):
            waiting = callers.submit(order, amount)
            asked = until(partial(held, amount))
            made = revoke(gate, people.ada, **({"session": asked["session"]} if "session" in way else way))
            httpx.post(f"{url}/{asked['id']}/approve", headers=bob).raise_for_status()
            refused = waiting.result()
            assert (refused.status_code, code(refused)) == (401, "identity.revoked"), refused.text
            kinds = [each["kind"] for each in gate.call_entries(refused.headers["funcgate-call-id"])]
            assert "allowed" not in kinds
            assert httpx.get(f"{url}/{asked['id']}", headers=bob).json()["used_by"] == ""
            api(gate, people.ada, f"/{made['id']}/lift", "POST", reason="test").raise_for_status()
    assert target.ledger == []


@pytest.mark.slow
def test_two_gateways_on_one_state(make_gate: Make, people: People, tmp_path: Path) -> None:
    shared = {**CHANGES, "state": str(tmp_path / "shared.db")}
    one, other = make_gate(**shared).start(), make_gate(**shared).start()
    assert read(one, people.agent).status_code == read(other, people.agent).status_code == 200
    assert not (tmp_path / "shared.db").exists()
    made = revoke(one, people.ada, token=fingerprint(people.agent))
    assert code(read(one, people.agent)) == "identity.revoked"
    until(lambda: code(read(other, people.agent)) == "identity.revoked", 10)
    api(other, people.ada, f"/{made['id']}/lift", "POST", reason="a mistake").raise_for_status()
    assert read(other, people.agent).status_code == 200
    until(lambda: read(one, people.agent).status_code == 200, 10)
    revoke(one, people.ada, token=fingerprint(people.agent), for_s=1.5)
    until(lambda: code(read(other, people.agent)) == "identity.revoked", 10)
    until(lambda: read(one, people.agent).status_code == read(other, people.agent).status_code == 200, 10)


def test_nobody_but_an_administrator(make_gate: Make, authority: Authority, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    made = revoke(gate, people.ada, token="f00d" * 4)
    agent_of_ada = authority.token("ada", act={"sub": "agent-7"})
    for token in (people.agent, people.otto, people.bob, agent_of_ada):
        assert api(gate, token, "", "POST", issuer="corp", subject="ada", reason="x").status_code == 403
        assert api(gate, token, f"/{made['id']}/lift", "POST", reason="x").status_code == 403
    assert api(gate, "nobody", "", "POST", issuer="corp", subject="ada", reason="x").status_code == 401
    seen = {name: api(gate, getattr(people, name)).status_code for name in ("agent", "bob", "ada", "otto")}
    assert seen == {"agent": 403, "bob": 403, "ada": 200, "otto": 200}
    assert [one["id"] for one in api(gate, people.otto).json()["revocations"]] == [made["id"]]
    tried = [entry for entry in admin(gate, "revoke", "lift revocation") if entry["outcome"] == "refused"]
    assert {entry["principal"]["subject"] for entry in tried} == {"agent-7", "otto", "bob", "ada"}
    assert len(tried) == 8


def test_what_is_not_understood_revokes_nothing(make_gate: Make, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    for said, what in (
        ({}, "truncated"),
        ({"token": "f00d" * 4}, "reason"),
        ({"reason": " ", "token": "f00d" * 4}, "reason"),
        ({"reason": "x"}, "one of"),
        ({"reason": "x", "token": "f00d" * 4, "session": "s"}, "one of"),
        ({"reason": "x", "token": people.agent}, "16 hexadecimal digits"),
        ({"reason": "x", "issuer": "corp"}, "both"),
        ({"reason": "x", "issuer": "korp", "subject": "a"}, "No issuer"),
        ({"reason": "x", "session": "s", "for_s": -1}, "time"),
        ({"reason": "x", "session": "s", "until": 7}, "unknown field"),
    ):
        refused = api(gate, people.ada, "", "POST", **said)
        assert refused.status_code == 400
        assert what in refused.json()["detail"]
        assert people.agent not in refused.text
    assert api(gate, people.ada, "/nothing/lift", "POST", reason="x").status_code == 404
    assert api(gate, people.ada).json() == {"revocations": []}
    assert admin(gate, "revoke") == []


@pytest.mark.slow
def test_a_state_that_cannot_be_read(make_gate: Make, people: People) -> None:
    gate = make_gate(**CHANGES).start()
    revoke(gate, people.ada, issuer="corp", subject="agent-7")
    # Later: what is known stands, and whoever asks for readiness is warned.
    with sqlite3.connect(gate.data / "state.db") as connection:
        connection.execute("ALTER TABLE revocations RENAME TO gone")
    until(lambda: "revocations cannot be read" in gate.get_console("/readyz")[1], 10)
    assert code(read(gate, people.agent)) == "identity.revoked"
    assert api(gate, people.ada, "", "POST", session="s", reason="x").status_code == 503
    assert [entry["outcome"] for entry in admin(gate, "revoke")] == ["complete", "complete", "failed"]
    assert gate.get_console("/readyz")[0] == 200
    with sqlite3.connect(gate.data / "state.db") as connection:
        connection.execute("ALTER TABLE gone RENAME TO revocations")
    until(lambda: "revocations" not in gate.get_console("/readyz")[1], 10)
    assert gate.stop() == 0
    # At the start: nobody is served by a gateway that does not know whom to refuse.
    for name in ("state.db-wal", "state.db-shm"):
        (gate.data / name).unlink(missing_ok=True)
    (gate.data / "state.db").write_bytes(b"no database" * 500)
    ended = forked.run("serve", "--config", gate.file, environment={"SHOP_KEY": CANARY, "PATH": ""})
    assert ended.returncode == 1
    assert "revocations cannot be read: state.db" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_from_the_command_line(make_gate: Make, people: People) -> None:
    gate = make_gate(**CHANGES).start()

    def cli(*command: str, token: str = people.ada, status: int = 0) -> str:
        where = ["--url", f"http://127.0.0.1:{gate.console}", "--token", token]
        done = forked.run("revocations", *command, *where)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "corp/agent-7 is revoked, until it is lifted" in cli(
        "add", "--caller", "corp/agent-7", "--reason", "lost laptop"
    )
    assert code(read(gate, people.agent)) == "identity.revoked"
    made = json.loads(cli("add", "--fingerprint", "f00d" * 4, "--for", "2h", "--reason", "seen in a log", "--json"))
    listed = cli("list")
    for text in ("corp/agent-7", "lost laptop", "token f00df00df00df00d", "corp/ada", made["id"]):
        assert text in listed
    assert "is no longer revoked, lifted" in cli("lift", made["id"], "--reason", "a mistake")
    assert made["id"] not in cli("list")
    assert "by corp/ada" in cli("list", "--all")
    assert "No such revocation" in cli("lift", made["id"], "--reason", "again", status=1)
    assert "Only an administrator" in cli("add", "--session", "s", "--reason", "x", token=people.bob, status=1)
    for wrong in (
        ["--caller", "agent-7"],
        [],
        ["--session", "s", "--fingerprint", "f00d" * 4],
        ["--session", "s", "--for", "1x"],
    ):
        done = CliRunner().invoke(application, ["revocations", "add", "--token", people.ada, "--reason", "x", *wrong])
        assert done.exit_code == 2
