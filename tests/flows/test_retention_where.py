"""Content of some targets in folders of their own, through a running gateway: all of it there, none of it anywhere else,
whatever becomes of the folder."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from msgspec import Raw
from ruamel.yaml import YAML
from typer.testing import CliRunner

from funcgate.cli.commands import application
from funcgate.recording.calls import record_of
from funcgate.recording.contents import Opener, orphans
from funcgate.recording.contents.places import MARK
from funcgate.recording.proof import latest_size
from funcgate.recording.reader import read_entries
from support.gate import Gate, until
from support.leased import leased
from support.postgres import Database, SqlGate
from support.target import Received, Target, answer

Make = Callable[..., Gate]
KEY = bytes(range(32))
ARGS, BODY, FIELD = (
    "qqargs4711",
    "zzbody4711",
    "wwfield4711",
)  # whole in the index too, if they were in it: no word begins so
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "order", "http": "POST /orders", "args": {"amount": "integer", "note": "string"}},
]


@pytest.fixture
def config(target: Target) -> Callable[..., dict[str, Any]]:
    """Targets ``shop``, ``bank`` and ``rest``; the rules of retention."""

    def make(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
        target.answers["/orders"] = answer(json.dumps({"said": BODY}).encode(), extra=f"X-Said: {FIELD}\r\n".encode())
        targets = [
            {"name": name, "protocol": "http", "url": target.url, "functions": FUNCTIONS}
            for name in ("shop", "bank", "rest")
        ]
        policies = [{"name": "agents", "effect": "allow", "functions": ["*"], "principals": ["group:agents"]}]
        return {"targets": targets, "policies": policies, "retention": list(rules), "proof": {"every": "100ms"}} | more

    return make


def order(gate: Gate, token: str, to: str = "shop") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Funcgate-Session": "nightly"}
    return httpx.post(
        f"{gate.url}/{to}/orders", json={"amount": 1, "note": ARGS}, headers=headers, timeout=60, trust_env=False
    )


def call_of(gate: Gate, token: str, to: str = "shop") -> str:
    """A call that goes well, ended."""
    reply = order(gate, token, to)
    assert (reply.status_code, reply.json()) == (200, {"said": BODY})
    call = str(reply.headers["funcgate-call-id"])
    gate.ended(call)
    return call


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def audit(gate: Gate, *words: str) -> Said:
    """The command line, which knows no more than what lies on the disk and in the configuration. In this process: to start
    one costs more than all that it does."""
    ran = CliRunner().invoke(application, ["audit", *words, "--config", str(gate.file)])
    return Said(ran.exit_code, ran.stdout, ran.stderr)


def body_of(gate: Gate, call: str) -> str:
    """What the record says was answered."""
    opener = Opener(gate.data)
    record = record_of(opener.open(entry) for entry in read_entries(gate.data / "journal") if entry.call == call)
    assert isinstance(record.body, Raw)
    return str(json.loads(bytes(record.body))["said"])


def proved(gate: Gate) -> None:
    """Until all that is durable now is under a checkpoint."""
    last = gate.entries()[-1]["seq"]
    until(lambda: latest_size(gate.data) >= last)


def said_under(folder: Path) -> set[str]:
    """Which of the words stand in a file below the folder."""
    found = set()
    for path in filter(Path.is_file, folder.rglob("*")):
        data = path.read_bytes()
        found |= {word for word in (ARGS, BODY, FIELD) if word.encode() in data}
    return found


def test_content_lies_where_the_rule_says_and_nowhere_else(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east, west = tmp_path / "east", tmp_path / "west"
    for folder in (east, west):
        folder.mkdir()
    rules = [{"targets": ["shop"], "where": str(east)}, {"targets": ["bank"], "where": {"content": str(west)}}]
    gate = make_gate(**config(*rules)).start()
    shop, bank = call_of(gate, token), call_of(gate, token, "bank")
    proved(gate)
    for call, folder in ((shop, east), (bank, west)):
        assert said_under(folder) == {ARGS, BODY, FIELD}
        arrived, allowed, chunk, ended = gate.call_entries(call)
        for entry in (arrived, chunk):
            assert set(entry) & {"args", "body", "fields"} == set()
            digest = entry["object"].removeprefix("sha256:")
            assert (folder / "objects" / digest[:2] / digest).stat().st_size == entry["object_bytes"]
        assert arrived["where"] == chunk["where"]
        assert "where" not in allowed | ended
    search = audit(gate, "list", "--text", BODY, "--json")
    assert {one["id"] for one in json.loads(search.stdout)} == {shop, bank}, search.stderr
    whoever_asks_finds_it_there(gate, shop, tmp_path)
    assert gate.stop() == 0
    assert said_under(gate.data) == set()  # not in the index either
    assert not [word for word in (ARGS, BODY, FIELD) if word in gate.log.read_text()]
    changes = [entry["change"] for entry in gate.entries() if entry["kind"] == "admin"]
    places = {change["place"]: change["folder"] for change in changes if change.get("what") == "place"}
    assert {places[gate.call_entries(call)[0]["where"]] for call in (shop, bank)} == {str(east), str(west)}


def whoever_asks_finds_it_there(gate: Gate, call: str, folder: Path) -> None:
    for words in (("show", call), ("replay", "nightly", "--no-wait"), ("export", "--format", "jsonl", "--out", "-")):
        ran = audit(gate, *words)
        assert ran.returncode == 0, ran.stderr
        assert {ARGS, BODY} == {word for word in (ARGS, BODY) if word in ran.stdout}, words
    assert FIELD in audit(gate, "show", call).stdout
    assert call in audit(gate, "list", "--text", ARGS, "--scan").stdout
    assert call not in audit(gate, "list", "--text", "of-nobody").stdout
    verified = audit(gate, "verify", "--objects", "--json")
    assert (verified.returncode, json.loads(verified.stdout)["objects"]) == (0, 4)
    pack = folder / "evidence.json"
    assert audit(gate, "prove", call, "--out", str(pack)).returncode == 0
    checked = audit(gate, "verify", "--pack", str(pack), "--json")
    verdict = json.loads(checked.stdout)
    assert (checked.returncode, verdict["objects"]) == (0, 2)
    arrived, _, chunk, _ = verdict["entries"]
    assert (arrived["args"]["note"], chunk["body"]) == (ARGS, {"said": BODY})
    assert ["X-Said", FIELD] in chunk["fields"]


def test_it_is_sealed_there_with_the_same_keys(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east, key = tmp_path / "east", tmp_path / "key"
    east.mkdir()
    key.write_text(KEY.hex())
    key.chmod(0o600)
    rule = {"targets": ["*"], "where": {"content": str(east)}, "content": "30d"}
    gate = make_gate(**config(rule, journal={"encryption": {"key": f"file:{key}"}})).start()
    call = call_of(gate, token)
    proved(gate)
    assert said_under(east) | said_under(gate.data) == set()
    opener = Opener(gate.data, KEY)
    opened = [opener.look(entry) for entry in read_entries(gate.data / "journal") if entry.call == call]
    assert [one.lost for one in opened] == [()] * 4
    arrived, chunk = opened[0].entry, opened[2].entry
    assert arrived.args is not None
    assert json.loads(bytes(arrived.args))["note"] == ARGS
    assert ("X-Said", FIELD) in chunk.fields
    assert call in audit(gate, "list", "--text", BODY).stdout
    pack = tmp_path / "evidence.json"
    assert audit(gate, "prove", call, "--out", str(pack), "--open").returncode == 0
    verdict = json.loads(audit(gate, "verify", "--pack", str(pack), "--json").stdout)
    assert (verdict["sound"], verdict["entries"][2]["body"]) == (True, {"said": BODY})
    assert gate.stop() == 0


@pytest.mark.slow
def test_a_rule_that_is_gone_leaves_everything_findable(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east, west = tmp_path / "east", tmp_path / "west"
    for folder in (east, west):
        folder.mkdir()
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(east)}})).start()
    calls = [call_of(gate, token)]
    for rules in ([{"targets": ["shop"], "where": {"content": str(west)}}], []):
        reloaded(gate, *rules)
        calls.append(call_of(gate, token))
    where = [gate.call_entries(call)[0].get("where", "") for call in calls]
    assert (len(set(where)), where[2]) == (3, "")
    assert said_under(gate.data) == {ARGS, BODY, FIELD}  # of the last call
    proved(gate)
    assert {body_of(gate, call) for call in calls} == {BODY}
    assert BODY in audit(gate, "show", calls[0]).stdout
    assert audit(gate, "verify", "--objects").returncode == 0
    assert list(orphans(gate.data, settled_s=0)) == []
    assert gate.stop() == 0


def test_a_stream_piece_by_piece(
    make_gate: Make, config: Callable[..., dict[str, Any]], target: Target, token: str, tmp_path: Path
) -> None:
    east = tmp_path / "east"
    east.mkdir()
    gate = make_gate(**config({"targets": ["*"], "where": {"content": str(east)}})).start()
    more = threading.Semaphore(0)

    async def step_by_step(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Said: {FIELD}\r\n\r\n".encode())
        for piece in (b"zzbo", b"dy47", b"11"):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.to_thread(more.acquire, timeout=30)
        writer.write(b"0\r\n\r\n")

    target.answers["/orders"] = step_by_step
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("POST", f"{gate.url}/shop/orders", json={"amount": 1}, headers=headers, trust_env=False) as reply:
        call = str(reply.headers["funcgate-call-id"])
        pieces = []
        for piece in reply.iter_raw():
            pieces.append(piece)
            more.release()
    assert b"".join(pieces).decode() == BODY
    gate.ended(call)
    chunks = [entry for entry in gate.call_entries(call) if entry["kind"] == "chunk"]
    assert [entry.get("piece") for entry in chunks] == [1, 2, 3]
    assert len({entry["object"] for entry in chunks}) == 3
    opener = Opener(gate.data)
    record = record_of(opener.open(entry) for entry in read_entries(gate.data / "journal") if entry.call == call)
    assert record.body == BODY
    assert ("X-Said", FIELD) in record.fields
    assert gate.stop() == 0
    assert said_under(gate.data) == set()


def test_a_refusal_is_recorded_with_its_content_there_or_without(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east = tmp_path / "east"
    east.mkdir()
    policies = [
        {"name": "open", "effect": "allow", "functions": ["rest.*"], "principals": ["*"]},
        {"name": "closed", "effect": "deny", "functions": ["shop.*"], "principals": ["*"]},
    ]
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(east)}}, policies=policies)).start()
    calls = []
    for away in (False, True):
        if away:
            east.rename(tmp_path / "away")
        reply = order(gate, token)
        assert (reply.status_code, reply.json()["code"]) == (403, "policy.denied")
        calls.append(str(reply.headers["funcgate-call-id"]))
        gate.ended(calls[-1])
    there, without = (gate.call_entries(call)[0] for call in calls)
    assert "where" in there
    assert not {"where", "args", "object"} & set(without)
    assert without["principal"]["subject"] == "agent-1"
    assert said_under(tmp_path / "away") == {ARGS}
    assert gate.stop() == 0
    assert said_under(gate.data) == set()


def test_statements_and_rows_of_a_database(
    make_sql_gate: Callable[..., SqlGate], database: Database, tmp_path: Path
) -> None:
    east = tmp_path / "east"
    east.mkdir()
    database.fill(f"CREATE TABLE plans (name text); INSERT INTO plans VALUES ('{BODY}')")
    try:
        gate = make_sql_gate(retention=[{"targets": ["shop"], "where": {"content": str(east)}}]).start()
        with gate.connect() as connection:
            query = "SELECT name FROM plans WHERE name <> %s"
            assert connection.execute(query, (ARGS,)).fetchall() == [(BODY,)]
        (entries,) = until(lambda: [of for of in gate.calls_of("shop.select") if of[-1]["kind"] == "ended"])
        assert {"where" in entry for entry in entries if entry["kind"] in ("arrived", "chunk")} == {True}
        assert gate.stop() == 0
    finally:
        database.fill("DROP TABLE plans")
    assert said_under(gate.data) == set()
    assert said_under(east) == {ARGS, BODY}


def reloaded(gate: Gate, *rules: dict[str, Any]) -> None:
    count = len(gate.logged("configuration reloaded"))
    tree = YAML().load(gate.file.read_text())
    tree["retention"] = list(rules)
    with (gate.folder / "new.yaml").open("w") as out:
        YAML().dump(tree, out)
    (gate.folder / "new.yaml").rename(gate.file)
    until(lambda: len(gate.logged("configuration reloaded")) > count)


@pytest.mark.slow
def test_a_folder_that_is_moved_and_moved_back(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east, west = tmp_path / "east", tmp_path / "west"
    east.mkdir()
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(east)}})).start()
    calls = [call_of(gate, token)]
    for now, then in ((west, east), (east, west)):
        then.rename(now)
        assert "is it mounted?" in refused(gate, token)
        reloaded(gate, {"targets": ["shop"], "where": {"content": str(now)}})
        calls.append(call_of(gate, token))
        assert {body_of(gate, call) for call in calls} == {BODY}
    assert len({gate.call_entries(call)[0]["where"] for call in calls}) == 1
    assert gate.stop() == 0


@contextlib.contextmanager
def killed_at_object(gate: Gate) -> Iterator[None]:
    """The gateway is killed as it has just named its next object: no line of it is written by then."""
    strace = shutil.which("strace")
    if strace is None or gate.process is None:
        pytest.skip("strace is not installed")
    calls = "rename,renameat,renameat2"
    command = [strace, "-f", "-o", "/dev/null", "-p", str(gate.process.pid), "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:signal=KILL"]
    tracing = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        status = Path(f"/proc/{gate.process.pid}/status")
        until(lambda: tracing.poll() is not None or "TracerPid:\t0\n" not in status.read_text())
        if tracing.poll() is not None:
            pytest.skip("processes may not be traced here")
        yield
        gate.process.wait(30)
    finally:
        tracing.terminate()
        tracing.communicate(timeout=20)


@pytest.mark.parametrize("sent", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["arguments", "answer"])
def test_killed_right_between_the_object_and_its_line(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, target: Target, tmp_path: Path, sent: bool
) -> None:
    east = tmp_path / "east"
    east.mkdir()
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(east)}})).start()
    call_of(gate, token)
    target.ledger.clear()
    go = threading.Event()

    async def when_told(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(go.wait, 30)
        writer.write(answer(b'"late"'))

    target.answers["/orders"] = when_told
    replies: list[httpx.Response] = []

    def calling() -> None:
        with contextlib.suppress(httpx.HTTPError):
            replies.append(order(gate, token))

    caller = threading.Thread(target=calling)
    if sent:
        caller.start()
        until(lambda: target.ledger)
    with killed_at_object(gate):
        if not sent:
            caller.start()
        go.set()
    caller.join()
    assert replies == []
    (lost,) = orphans(gate.data, settled_s=0)
    assert lost.path.is_relative_to(east / "objects")
    assert len(target.ledger) == sent  # without its arguments on the record nothing was sent
    gate.start()
    outcomes = [entry["outcome"] for entry in gate.entries() if entry["kind"] == "ended"]
    assert outcomes == ["complete", "unknown"][: 1 + sent]
    proved(gate)
    assert audit(gate, "verify", "--objects").returncode == 0
    assert gate.stop() == 0


@pytest.mark.slow
def test_killed_between_objects_and_lines(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    east = tmp_path / "east"
    east.mkdir()
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(east)}}))
    answered: list[str] = []
    for _ in range(3):
        gate.start()
        stop = threading.Event()

        def calling(stop: threading.Event = stop) -> None:
            while not stop.is_set():
                with contextlib.suppress(httpx.HTTPError):
                    reply = order(gate, token)
                    if reply.status_code == 200:
                        answered.append(reply.headers["funcgate-call-id"])

        callers = [threading.Thread(target=calling) for _ in range(8)]
        for caller in callers:
            caller.start()
        until(lambda count=len(answered): len(answered) > count + 20)  # type: ignore[misc]  # noqa: B008
        gate.kill()
        stop.set()
        for caller in callers:
            caller.join()
    gate.start()
    proved(gate)
    verdict = json.loads(audit(gate, "verify", "--objects", "--json").stdout)
    assert (verdict["sound"], verdict["faults"]) == (True, [])
    opener = Opener(gate.data)
    bodies = {
        entry.call: bytes(opener.open(entry).body or b"")  # type: ignore[arg-type]
        for entry in read_entries(gate.data / "journal")
        if entry.kind == "chunk"
    }
    assert {bodies.get(call) for call in answered} == {json.dumps({"said": BODY}).encode()}
    assert gate.stop() == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator["Disk"]:
    found = Disk(tmp_path / "disk")
    yield found
    found.end()


class Disk:
    """A small file system where one can be mounted, else a folder that is put aside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self._aside = folder.with_name("aside")
        self.mounts = os.geteuid() == 0 and self._run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))

    def away(self) -> None:
        """Gone, and an empty folder is in its place. It may come back."""
        if self.mounts:
            kept = self._aside
            kept.mkdir(exist_ok=True)
            self._run("mount", "--bind", str(self.folder), str(kept))
            self._run("umount", "-l", str(self.folder))
        else:
            self.folder.rename(self._aside)
            self.folder.mkdir()

    def back(self) -> None:
        if self.mounts:
            assert self._run("mount", "--bind", str(self._aside), str(self.folder))
        else:
            self.folder.rmdir()
            self._aside.rename(self.folder)

    def end(self) -> None:
        for folder in (self.folder, self._aside):
            while self.mounts and os.path.ismount(folder) and self._run("umount", "-l", str(folder)):
                pass

    @contextlib.contextmanager
    def full(self) -> Iterator[str]:
        """Nothing can be written; gives the error that says so."""
        if not self.mounts:
            shards = [path for path in (self.folder / "objects").rglob("*") if path.is_dir()]
            for path in shards:
                path.chmod(0o500)
            yield "EACCES"
            for path in shards:
                path.chmod(0o700)
            return
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield "ENOSPC"
        filler.unlink()

    @staticmethod
    def _run(*command: str) -> bool:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def refused(gate: Gate, token: str) -> str:
    """Call the target whose folder is broken; what the record says of it."""
    reply = order(gate, token)
    assert (reply.status_code, reply.json()["code"]) == (503, "journal.unavailable")
    assert BODY not in reply.text
    call = reply.headers["funcgate-call-id"]
    (denied,) = until(lambda: [entry for entry in gate.call_entries(call) if entry["kind"] == "denied"])
    assert denied["principal"]["subject"] == "agent-1"  # who called is no content
    return str(denied["detail"])


def test_a_full_folder_stops_its_own_target_only(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, target: Target, disk: Disk
) -> None:
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(disk.folder)}})).start()
    call_of(gate, token)
    sent = len(target.ledger)
    with disk.full() as error:
        said = refused(gate, token)
        assert error in said
        assert str(disk.folder) in said
        assert len(target.ledger) == sent
        call_of(gate, token, "rest")
    call_of(gate, token)
    proved(gate)
    assert audit(gate, "verify", "--objects").returncode == 0
    assert gate.stop() == 0


def test_a_folder_that_is_not_mounted(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, target: Target, disk: Disk
) -> None:
    gate = make_gate(**config({"targets": ["shop"], "where": {"content": str(disk.folder)}})).start()
    call = call_of(gate, token)
    proved(gate)
    disk.away()
    sent = len(target.ledger)
    assert "is it mounted?" in refused(gate, token)
    assert len(target.ledger) == sent
    assert list(disk.folder.iterdir()) == []  # nothing goes to whatever lies below
    call_of(gate, token, "rest")
    assert "cannot be stored where it shall lie" in gate.get_console("/readyz")[1]
    shown = audit(gate, "show", call)
    assert (shown.returncode, BODY in shown.stdout) == (0, False)
    assert "content is not shown, away: " in shown.stderr
    listed = audit(gate, "list", "--text", BODY)
    assert "could not be looked at" in listed.stderr
    verdict = json.loads(audit(gate, "verify", "--objects", "--json").stdout)
    texts = [fault["text"] for fault in verdict["faults"]]
    assert (verdict["sound"], len(texts)) == (False, 2)
    assert all("cannot be looked at" in text and str(disk.folder) in text for text in texts)
    replayed = audit(gate, "replay", "nightly", "--no-wait")
    assert (replayed.returncode, "not there: sha256:" in replayed.stdout) == (0, True)
    assert gate.stop() == 0
    gate.start()  # without it: its calls are refused, nobody else's
    assert gate.logged("calls of some targets are refused")
    assert "is it mounted?" in refused(gate, token)
    call_of(gate, token, "rest")
    disk.back()
    call_of(gate, token)
    assert BODY in audit(gate, "show", call).stdout
    proved(gate)
    assert audit(gate, "verify", "--objects").returncode == 0
    assert gate.stop() == 0


@pytest.mark.slow
def test_a_folder_that_does_not_answer(
    make_gate: Make, config: Callable[..., dict[str, Any]], token: str, tmp_path: Path
) -> None:
    """As a network mount whose server is gone: who opens something there, waits."""
    east = tmp_path / "east"
    east.mkdir()
    rule = {"targets": ["shop"], "where": {"content": str(east)}}
    limits = {"elsewhere_timeout": "1s", "elsewhere_waiting": "1KiB"}
    gate = make_gate(**config(rule, journal=limits)).start()
    call_of(gate, token)
    with leased(east / MARK):
        codes = []
        callers = [threading.Thread(target=lambda: codes.append(order(gate, token).json()["code"])) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert set(codes) == {"journal.unavailable", "journal.overloaded"}
        assert "does not answer: what was written there hangs" in refused(gate, token)
        details = [entry["detail"] for entry in gate.entries() if entry["kind"] == "denied"]
        assert [detail for detail in details if "does not answer within 1 s" in detail]
        assert [detail for detail in details if "bytes of content wait for" in detail]
        call_of(gate, token, "rest")
    deadline = time.monotonic() + 20
    while order(gate, token).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with leased(east / MARK):
        assert "does not answer" in refused(gate, token)
        assert gate.stop(30) == 0  # although something hangs
