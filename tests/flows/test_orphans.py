"""Files of content that no line names are removed once that is recorded, and nothing else is."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from funcgate.recording.contents import ContentStore
from support import forked
from support.gate import Gate
from support.target import Target, answer

Make = Callable[..., Gate]


def orphans(gate: Gate, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run("audit", "orphans", *words, "--config", gate.file)


def aged(path: Path) -> Path:
    then = time.time() - 100_000
    os.utime(path, (then, then))
    return path


def test_orphans_are_removed_as_the_journal_says(make_gate: Make, target: Target, token: str) -> None:
    target.answers["/read"] = answer(b'"' + b"x" * 100_000 + b'"')
    gate = make_gate(journal={"inline": "1KiB"}).start()
    headers = {"authorization": f"Bearer {token}"}
    reply = httpx.get(f"{gate.url}/shop/read", headers=headers, trust_env=False)
    gate.ended(reply.headers["funcgate-call-id"])
    store = ContentStore(gate.data)
    (named,) = store.digests()
    aged(store.path(named))
    lost, young = (store.path(store.write(content)) for content in (b"lost", b"young"))
    aged(lost)
    leaving = aged(store.path(store.write(b"leaving")))
    leaving = leaving.rename(store.unfinished / f"{leaving.name}.leaving")
    (store.unfinished / "notes.txt").write_text("of somebody")
    aged(store.unfinished / "notes.txt")
    listed = json.loads(orphans(gate, "--json").stdout)
    assert listed == {"orphans": sorted(map(str, (lost, leaving)), key=lambda path: Path(path).name), "removed": []}
    assert lost.exists()
    assert orphans(gate, "--remove").returncode == 2
    assert orphans(gate, "--older", "59m").returncode == 2
    removed = orphans(gate, "--remove", "--reason", "after the crash")
    assert (removed.returncode, "2 removed" in removed.stdout) == (0, True), removed.stderr
    assert set(store.digests()) == {named, f"sha256:{young.name}"}
    assert [path.name for path in store.unfinished.iterdir()] == ["notes.txt"]
    (said,) = [entry["change"] for entry in gate.entries() if entry.get("change", {}).get("what") == "orphans"]
    assert (said["reason"], {name[:64] for name in said["files"]}) == (
        "after the crash", {lost.name, leaving.name.removesuffix(".leaving")},
    )  # fmt: skip
    assert said["by"]["via"] == "inbox"
    assert gate.stop() == 0


@pytest.mark.slow
def test_a_record_of_which_something_is_lost_may_name_any(make_gate: Make, target: Target, token: str) -> None:
    """A disk that lost a segment: what its lines name looks like nobody's."""
    target.answers["/read"] = answer(b'"' + b"x" * 100_000 + b'"')
    gate = make_gate(journal={"inline": "1KiB"}, proof={"every": "100ms"})
    for _ in range(3):
        gate.start()
        headers = {"authorization": f"Bearer {token}"}
        reply = httpx.get(f"{gate.url}/shop/read", headers=headers, trust_env=False)
        gate.ended(reply.headers["funcgate-call-id"])
        target.answers["/read"] = answer(b'"only once"')
        assert gate.stop() == 0
    gate.start()
    store = ContentStore(gate.data)
    (named,) = map(store.path, store.digests())
    aged(named)
    naming = next(path for path in sorted((gate.data / "journal").iterdir()) if named.name in path.read_text())
    naming.unlink()
    ran = orphans(gate, "--remove", "--reason", "after the crash")
    assert (ran.returncode, named.exists()) == (1, True), ran.stdout
    assert "audit verify" in ran.stderr
    assert "nothing is removed" in ran.stderr


@pytest.mark.slow
def test_without_a_gateway_nothing_is_removed(make_gate: Make, token: str) -> None:
    gate = make_gate().start()
    assert gate.stop() == 0
    store = ContentStore(gate.data)
    lost = aged(store.path(store.write(b"lost")))
    ran = orphans(gate, "--remove", "--reason", "after the crash")
    assert (ran.returncode, "nothing was removed" in ran.stderr) == (1, True)
    assert lost.exists()
    assert list((gate.data / "inbox").glob("*.json")) == []


def test_a_line_that_cannot_be_read_may_name_any(make_gate: Make, token: str) -> None:
    """Attack: spoil a line, so that the content that it names is removed as nobody's."""
    gate = make_gate().start()
    assert gate.stop() == 0
    store = ContentStore(gate.data)
    lost = aged(store.path(store.write(b"lost")))
    (segment,) = (gate.data / "journal").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"what":"start"', b'"what":"spoil"', 1))
    assert "cannot be read" in orphans(gate).stderr
    ran = orphans(gate, "--remove", "--reason", "after the crash")
    assert (ran.returncode, "nothing is removed" in ran.stderr) == (1, True)
    assert lost.exists()
