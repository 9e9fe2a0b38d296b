"""A new configuration under traffic: whole or not at all, and written down."""

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ruamel.yaml import YAML

from funcgate.config.load import load
from support.authority import Authority
from support.gate import Gate, settings, until
from support.target import Target, answer

FUNCTIONS = [{"name": "read", "http": "GET /read"}, {"name": "other", "http": "GET /other"}]
ALLOW = {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]}
DENY = {"name": "closed", "effect": "deny", "functions": ["shop.read"], "principals": ["*"]}

REFUSED = "configuration refused; the old one serves on"


@pytest.fixture(scope="module")
def running(
    authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gate, str]]:
    gate = Gate(tmp_path_factory.mktemp("reload"), settings(authority, shared_target.url, FUNCTIONS)).start()
    yield gate, gate.file.read_text()
    assert gate.stop() == 0


@pytest.fixture
def gate(running: tuple[Gate, str], target: Target) -> Gate:
    """One gateway for all these tests: the point of a reload is that it needs no new one. Each begins with the same file."""
    gate, text = running
    replace(gate.file, text)
    wanted = load(gate.file).version
    if version(gate) != wanted or metric(gate, "funcgate_config_reload_failed"):
        hang_up(gate)
        until(lambda: version(gate) == wanted and not metric(gate, "funcgate_config_reload_failed"))
    return gate


def get(gate: Gate, token: str, path: str = "/shop/read") -> httpx.Response:
    return httpx.get(gate.url + path, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60)


def change(gate: Gate, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit the file as an editor does: a new file in the place of the old one."""
    loader = YAML(typ="safe", pure=True)
    configuration = loader.load(gate.file.read_text())
    edit(configuration)
    replace(gate.file, configuration)


def replace(file: Path, content: dict[str, Any] | str) -> None:
    beside = file.with_suffix(".new")
    if isinstance(content, str):
        beside.write_text(content)
    else:
        with beside.open("w") as out:
            YAML().dump(content, out)
    os.replace(beside, file)


def hang_up(gate: Gate) -> None:
    assert gate.process is not None
    gate.process.send_signal(signal.SIGHUP)


def last_seq(gate: Gate) -> int:
    return int(gate.entries()[-1]["seq"])


def changes(gate: Gate, after: int) -> list[dict[str, Any]]:
    """The journal's entries of reloads."""
    return [
        entry | entry["change"]
        for entry in gate.entries()
        if entry["kind"] == "admin" and entry.get("change", {}).get("what") == "configuration" and entry["seq"] > after
    ]


def version(gate: Gate) -> str:
    return str(json.loads(gate.get_console("/readyz")[1])["version"])


def metric(gate: Gate, name: str) -> float:
    lines = gate.get_console("/metrics")[1].splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@contextmanager
def traffic(gate: Gate, token: str) -> Iterator[Counter[int]]:
    """Calls without a pause from two connections that are kept; the counter has their statuses."""
    seen: Counter[int] = Counter()
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60) as client:
            while not stop.is_set():
                seen[client.get(f"{gate.url}/shop/read").status_code] += 1

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: seen[200] > 10)
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_new_policy_takes_effect_under_traffic(gate: Gate, token: str) -> None:
    before, start = version(gate), last_seq(gate)
    done = metric(gate, "funcgate_config_reloads_total")
    with traffic(gate, token) as seen:
        change(gate, lambda file: file["policies"].append(DENY))
        hang_up(gate)
        until(lambda: seen[403] > 10)
    assert set(seen) == {200, 403}
    after = version(gate)
    assert after != before
    until(lambda: metric(gate, "funcgate_config_reloads_total") == done + len(changes(gate, start)))
    entry, *again = changes(gate, start)  # whoever watches the file may have been quicker than the signal
    assert (entry["outcome"], entry["old"], entry["new"]) == ("complete", before, after)
    assert all((one["outcome"], one["old"], one["new"]) == ("complete", after, after) for one in again)
    decided = [e for e in gate.entries() if e["kind"] in ("allowed", "denied") and e["seq"] > start]
    assert {one["policy"]["version"] for one in decided if one["kind"] == "allowed"} == {before}
    assert {one["policy"]["version"] for one in decided if one["kind"] == "denied"} == {after}
    assert entry["seq"] < min(one["seq"] for one in decided if one["kind"] == "denied")


def test_a_bad_file_keeps_the_old_one_and_says_so(gate: Gate, token: str) -> None:
    before, start = version(gate), last_seq(gate)
    good = gate.file.read_text()
    with traffic(gate, token) as seen:
        replace(gate.file, good.replace("effect: allow", "effect: alow").replace("audience:", "audiense:"))
        hang_up(gate)
        until(lambda: metric(gate, "funcgate_config_reload_failed") == 1)
    assert set(seen) == {200}
    status, text = gate.get_console("/readyz")
    found = json.loads(text)
    assert (status, found["ready"], found["version"]) == (200, True, before)
    assert found["warnings"] == ["the configuration file was refused; an older version serves"]
    line = gate.logged(REFUSED)[-1]
    assert line["level"] == "error"
    said = " ".join(line["problems"])
    assert "did you mean 'allow'?" in said
    assert "did you mean 'audience'?" in said
    (entry,) = until(lambda: changes(gate, start))
    assert (entry["outcome"], entry["old"], entry["problems"]) == ("refused", before, line["problems"])
    assert "new" not in entry

    replace(gate.file, good)
    hang_up(gate)
    until(lambda: metric(gate, "funcgate_config_reload_failed") == 0)
    assert json.loads(gate.get_console("/readyz")[1])["warnings"] == []
    assert get(gate, token).status_code == 200


def test_what_is_no_configuration_at_all(gate: Gate, token: str) -> None:
    refused = metric(gate, "funcgate_config_reloads_failed_total")
    for count, text in enumerate(("", "{", "\0", "listen: []", "x" * 100), int(refused) + 1):
        replace(gate.file, text)
        hang_up(gate)
        until(lambda n=count: metric(gate, "funcgate_config_reloads_failed_total") >= n)
        assert get(gate, token).status_code == 200
    gate.file.unlink()
    hang_up(gate)
    until(lambda: any("cannot be read" in line["problems"][0] for line in gate.logged(REFUSED)))
    assert get(gate, token).status_code == 200


def test_what_needs_a_restart_is_named_and_nothing_else_changes_either(gate: Gate, token: str) -> None:

    def edit(file: dict[str, Any]) -> None:
        file["policies"].append(DENY)
        file["data_dir"] = str(gate.folder / "elsewhere")
        file["journal"] = {"sync": "interval"}

    change(gate, edit)
    hang_up(gate)
    until(lambda: metric(gate, "funcgate_config_reload_failed") == 1)
    line = gate.logged(REFUSED)[-1]
    assert sorted(problem.split(": ")[-1] for problem in line["problems"]) == [
        "a change of data_dir needs a restart",
        "a change of journal needs a restart",
    ]
    assert get(gate, token).status_code == 200
    assert not (gate.folder / "elsewhere").exists()


def test_an_open_call_ends_under_the_version_it_began_with(gate: Gate, target: Target, token: str) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    async def slow(request: Any, writer: Any) -> None:
        arrived.set()
        await asyncio.to_thread(go_on.wait, 10)
        writer.write(answer())
        await writer.drain()

    target.answers["/read"] = slow
    before = version(gate)
    answers: list[httpx.Response] = []
    calling = threading.Thread(target=lambda: answers.append(get(gate, token)))
    calling.start()
    assert arrived.wait(30)

    def edit(file: dict[str, Any]) -> None:
        file["policies"].append(DENY)
        file["targets"][0]["limits"] = {"timeout": "20s"}  # a new pool, too: the old connection must not be cut

    change(gate, edit)
    hang_up(gate)
    until(lambda: version(gate) != before)
    assert get(gate, token).status_code == 403
    go_on.set()
    calling.join()
    assert answers[0].status_code == 200
    entries = gate.call_entries(answers[0].headers["funcgate-call-id"])
    assert {entry["policy"]["version"] for entry in entries if "policy" in entry} == {before}


def test_connections_to_targets_are_kept(gate: Gate, target: Target, token: str) -> None:
    get(gate, token)
    opened, before = target.connections, version(gate)
    change(gate, lambda file: file["policies"].append(DENY | {"functions": ["shop.other"]}))
    hang_up(gate)
    until(lambda: version(gate) != before)
    assert get(gate, token).status_code == 200
    assert get(gate, token, "/shop/other").status_code == 403
    assert target.connections == opened


def test_a_new_target_and_a_new_function(gate: Gate, target: Target, token: str) -> None:
    assert get(gate, token, "/extra/x").status_code == 403

    def edit(file: dict[str, Any]) -> None:
        extra = {"name": "extra", "protocol": "http", "url": target.url, "functions": [{"name": "x", "http": "GET /x"}]}
        file["targets"].append(extra)
        file["policies"].append(ALLOW | {"name": "extra", "functions": ["extra.x"]})

    change(gate, edit)
    until(lambda: get(gate, token, "/extra/x").status_code == 200)
    assert target.seen("/x")


def test_a_changed_openapi_file_is_noticed(
    make_gate: Callable[..., Gate], tmp_path: Path, authority: Authority, target: Target, token: str
) -> None:
    described = (
        'openapi: 3.1.0\ninfo: {{title: t, version: "1"}}\npaths:\n'
        '  {path}: {{get: {{operationId: read, responses: {{"200": {{description: ok}}}}}}}}\n'
    )
    openapi = tmp_path / "shop.openapi.yaml"
    openapi.write_text(described.format(path="/read"))
    gate = make_gate([], target={"functions": {"openapi": str(openapi)}}).start()
    assert get(gate, token).status_code == 200
    assert get(gate, token, "/shop/later").status_code == 403
    replace(openapi, described.format(path="/later"))
    until(lambda: get(gate, token, "/shop/later").status_code == 200)
    assert get(gate, token).status_code == 403


def test_the_issuer_s_new_terms_hold_for_tokens_that_were_verified_before(
    gate: Gate, authority: Authority, token: str
) -> None:
    """Attack: a token that is remembered outlives the change that was made to lock it out."""
    done = metric(gate, "funcgate_config_reloads_total")
    assert get(gate, token).status_code == 200

    def edit(file: dict[str, Any]) -> None:
        file["issuers"][0]["audience"] = "someone-else"

    change(gate, edit)
    hang_up(gate)
    until(lambda: metric(gate, "funcgate_config_reloads_total") > done)  # twice, if the watcher comes before the signal
    assert get(gate, token).status_code == 401
    assert get(gate, authority.token(aud="someone-else")).status_code == 200


def test_a_reload_in_the_middle_of_many(gate: Gate, token: str) -> None:
    """Signals faster than reloads: the last file wins, and the gateway is none the worse."""
    for number in range(10):
        change(
            gate, lambda file, n=number: file["policies"].append(DENY | {"name": f"n{n}", "functions": ["shop.other"]})
        )
        hang_up(gate)
    last = load(gate.file).version
    until(lambda: version(gate) == last)
    assert get(gate, token).status_code == 200


def self_signed(cert: Path, key: Path) -> bytes:
    """Writes a new certificate for localhost and its key; returns it in DER."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    cert.write_bytes(made.public_bytes(pem))
    key.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return made.public_bytes(serialization.Encoding.DER)


def shown(port: int) -> bytes | None:
    """The certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as connected:
        return connected.getpeercert(binary_form=True)


def test_a_renewed_certificate_is_shown_without_a_restart(make_gate: Callable[..., Gate], tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    first = self_signed(cert, key)
    tls = {"cert": str(cert), "key": str(key)}
    gate = make_gate(listen={"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "tls": tls}).start()
    assert shown(gate.calls) == first
    cert.write_text("half a certificate")
    hang_up(gate)
    until(lambda: gate.logged(REFUSED))
    assert shown(gate.calls) == first
    second = self_signed(cert, key)
    hang_up(gate)
    until(lambda: shown(gate.calls) == second)
