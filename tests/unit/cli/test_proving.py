"""`funcgate audit verify` and `funcgate audit prove`, run as commands over a journal that a chore has signed."""

import asyncio
import base64
import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording import inbox
from funcgate.recording.contents.objects import ContentStore
from funcgate.recording.folder import lines
from funcgate.recording.proof.chore import ProofChore
from funcgate.stores.journal_files import FileJournal

Funcgate = Callable[..., Any]
VERSION = "ab" * 32
LARGE = b'"' + b"a large answer" * 1000 + b'"'
TEXT = "policies: [{name: small}]  # as it was\n"


class Scene:
    def __init__(self, folder: Path) -> None:
        self.data = folder / "funcgate-data"
        self.data.mkdir(mode=0o700)
        self.call, self.other = new_id(), new_id()
        self.object = ContentStore(self.data).write(LARGE)
        asyncio.run(self._write())
        self.prove()

    def prove(self) -> None:
        chore = ProofChore(self.data, copies=[f"file://{self.data.parent}/copies"])
        found = list(islice(lines(self.data / "journal", after=chore.position), 1000))
        chore.take(found)
        chore.close()

    async def _write(self) -> None:
        journal = FileJournal(self.data / "journal", min_free_bytes=0)
        await journal.start()
        base: dict[str, Any] = {"function": "shop.pay", "target": "shop"}
        change = {"what": "configuration", "new": VERSION, "text": TEXT, "files": {}}
        await journal.append(
            Entry(kind=Kind.ADMIN, call="", change={"what": "start", "new": VERSION}),
            Entry(kind=Kind.ADMIN, call="", change=change),
            Entry(kind=Kind.ARRIVED, call=self.call, principal=Who("corp", "alice"), args=Raw(b'{"amount":5}'), **base),
            Entry(kind=Kind.ARRIVED, call=self.other, **base),
            Entry(kind=Kind.ALLOWED, call=self.call, policy=Decided(("small",), VERSION), **base),
            Entry(kind=Kind.CHUNK, call=self.call, object=self.object, body_bytes=14_000, **base),
            Entry(kind=Kind.ENDED, call=self.other, outcome="refused", **base),
            Entry(kind=Kind.ENDED, call=self.call, outcome="complete", status=200, **base),
        )
        await journal.close()

    @property
    def key(self) -> str:
        return (self.data / "proof" / "public.vkey").read_text().strip()


@pytest.fixture
def scene(folder: Path) -> Scene:
    return Scene(folder)


def test_a_sound_journal(funcgate: Funcgate, scene: Scene) -> None:
    ran = funcgate("audit", "verify", "--objects")
    assert ran.status == 0
    assert "The journal is sound" in ran.out
    assert "9 under a checkpoint, 0 not yet" in ran.out
    assert scene.key in ran.out
    assert "No checkpoint from elsewhere was given" in ran.out
    assert "MB/s" in ran.out
    found = funcgate("audit", "verify", "--json", "--key", scene.key, "--checkpoint", "copies").json
    assert found["sound"] is True
    assert (found["entries"], found["outside"], found["first_bad"]) == (9, 2, None)


def test_a_journal_that_was_changed(funcgate: Funcgate, scene: Scene) -> None:
    (path,) = (scene.data / "journal").glob("*.jsonl")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"amount":5', b'"amount":6'))
    ran = funcgate("audit", "verify")
    assert ran.status == 1
    assert ran.out.startswith("TAMPERED: entry 4 is damaged: its checksum is wrong (00000001.jsonl, byte ")
    assert funcgate("audit", "verify", "--json").json["first_bad"]["seq"] == 4
    assert "1 line(s) of the journal cannot be read" in funcgate("audit", "prove", scene.call, "--out", "x").out


def test_copies_that_the_configuration_names(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    file = folder / "funcgate.yaml"
    configuration = json.loads(file.read_text())
    ran = funcgate("audit", "verify", "--copies")
    assert ran.status == 2
    assert "names no folder and no bucket" in ran.err
    file.write_text(json.dumps({**configuration, "proof": {"copies": ["file:copies", "https://hook.example/x"]}}))
    assert funcgate("audit", "verify", "--copies", "--json").json["outside"] == 2
    key = scene.key
    shutil.rmtree(scene.data / "proof")
    assert funcgate("audit", "verify", "--copies").status == 2
    ran = funcgate("audit", "verify", "--copies", "--key", key)
    assert ran.status == 0
    assert "9 under a checkpoint, 0 not yet" in ran.out
    assert "it is held against the given checkpoints alone" in ran.out
    shutil.rmtree(folder / "copies")
    ran = funcgate("audit", "verify", "--copies", "--key", key)
    assert ran.status == 2
    assert "file:" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ("--key", "nonsense"),
        ("--data-dir", "nowhere"),
        ("--checkpoint", "nowhere"),
        ("--pack", "nowhere"),
        ("--pack", "funcgate.yaml"),
    ],
)
def test_what_cannot_be_verified(funcgate: Funcgate, scene: Scene, options: tuple[str, ...]) -> None:
    ran = funcgate("audit", "verify", *options)
    assert ran.status == 2
    assert ran.err.startswith("funcgate: ")


def test_a_pack_needs_nothing_else(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    ran = funcgate("audit", "prove", scene.call, "--out", "pack.json")
    assert ran.status == 0
    assert "4 entries" in ran.out
    pack = json.loads((folder / "pack.json").read_text())
    assert [json.loads(entry["line"])["kind"] for entry in pack["entries"]] == ["arrived", "allowed", "chunk", "ended"]
    assert json.loads(pack["configuration"]["line"])["change"]["text"] == TEXT
    assert base64.b64decode(pack["objects"][scene.object]) == LARGE
    key = scene.key
    shutil.rmtree(scene.data)
    ran = funcgate("audit", "verify", "--pack", "pack.json")
    assert ran.status == 0
    assert f"4 entries of call {scene.call}" in ran.out
    assert "The key came with the pack" in ran.out
    ran = funcgate("audit", "verify", "--pack", "pack.json", "--key", key)
    assert ran.status == 0
    assert "The key came with the pack" not in ran.out
    found = funcgate("audit", "verify", "--pack", "pack.json", "--json").json
    assert (found["sound"], found["size"], found["configuration"]) == (True, 9, VERSION)
    assert found["entries"][2]["body"] == json.loads(LARGE)


def test_keys_that_nothing_needs(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    ran = funcgate("audit", "prove", scene.call, "--out", "pack.json", "--open", "--json")
    assert ran.status == 0
    assert (ran.json["keys"], ran.json["absent"], ran.json["entries"]) == (0, {}, 4)


def test_a_pack_that_is_there_is_not_overwritten(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    (folder / "pack.json").write_text("evidence")
    assert funcgate("audit", "prove", scene.call, "--out", "pack.json").status == 2
    assert (folder / "pack.json").read_text() == "evidence"


def test_calls_that_cannot_be_proved(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    assert "has no call" in funcgate("audit", "prove", new_id(), "--out", "x").err
    asyncio.run(scene._write())
    ran = funcgate("audit", "prove", scene.call, "--out", "x")
    assert ran.status == 1
    assert "is not under a checkpoint yet" in ran.err
    assert not (folder / "x").exists()


def forge(pack: dict[str, Any], what: str) -> None:
    first = pack["entries"][0]
    match what:
        case "line":
            first["line"] = first["line"].replace("alice", "malory")
        case "index":
            first["index"] += 1
        case "path":
            first["path"][0] = base64.b64encode(bytes(32)).decode()
        case "path is no base64":
            first["path"][0] = "…"
        case "call":
            pack["call"] = "another"
        case "order":
            pack["entries"].reverse()
        case "twice":
            pack["entries"].append(pack["entries"][-1])
        case "checkpoint":
            pack["checkpoint"] = pack["checkpoint"].replace("sync always", "sync never")
        case "object":
            name = next(iter(pack["objects"]))
            pack["objects"][name] = base64.b64encode(b"another").decode()
        case "object of nobody":
            pack["objects"]["sha256:" + "0" * 64] = ""
        case "configuration":
            pack["configuration"] = pack["entries"][0]
        case "configuration's line":
            pack["configuration"]["line"] = pack["configuration"]["line"].replace("small", "large")
        case "no entries":
            pack["entries"] = []


@pytest.mark.parametrize(
    "what",
    [
        "line", "index", "path", "path is no base64", "call", "order", "twice", "checkpoint", "object", "object of nobody",
        "configuration", "configuration's line", "no entries",
    ],
)  # fmt: skip
def test_a_forged_pack(funcgate: Funcgate, scene: Scene, folder: Path, what: str) -> None:
    assert funcgate("audit", "prove", scene.call, "--out", "pack.json").status == 0
    pack = json.loads((folder / "pack.json").read_text())
    forge(pack, what)
    (folder / "pack.json").write_text(json.dumps(pack))
    ran = funcgate("audit", "verify", "--pack", "pack.json")
    assert ran.status == 1
    assert ran.out.startswith("FALSE: ")


def test_a_pack_of_another_key(funcgate: Funcgate, scene: Scene, folder: Path, tmp_path: Path) -> None:
    """Attack: a pack that is true in itself, of a journal that somebody made up."""
    (tmp_path / "else").mkdir()
    made_up = Scene(tmp_path / "else")
    assert funcgate("audit", "prove", made_up.call, "--data-dir", str(made_up.data), "--out", "pack.json").status == 0
    assert funcgate("audit", "verify", "--pack", "pack.json").status == 0
    ran = funcgate("audit", "verify", "--pack", "pack.json", "--key", scene.key)
    assert ran.status == 1
    assert "not by a known key" in ran.out


def test_a_pack_without_what_has_gone(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    ContentStore(scene.data).delete(scene.object)
    ran = funcgate("audit", "prove", scene.call, "--out", "pack.json")
    assert "has expired" in ran.out
    ran = funcgate("audit", "verify", "--pack", "pack.json")
    assert ran.status == 0
    assert f"note: the object {scene.object} is not in the pack: object {scene.object} has expired" in ran.out


def test_evidence_that_leaves_is_told_first(funcgate: Funcgate, scene: Scene, folder: Path) -> None:
    """Attack: take content and its keys out, a call at a time, by the one verb that nobody writes down."""
    assert funcgate("audit", "prove", scene.call, "--out", "pack.json", "--open").status == 0
    [path] = inbox.waiting(scene.data / inbox.FOLDER)
    told = inbox.read(path).change
    assert told == {"what": "export", "format": "evidence", "call": scene.call, "out": "pack.json", "opened": True}
    assert funcgate("audit", "prove", "no-such-call", "--out", "other.json").status == 1
    shutil.rmtree(scene.data / inbox.FOLDER)
    (scene.data / inbox.FOLDER).write_text("a file where the folder should be")
    refused = funcgate("audit", "prove", scene.call, "--out", "third.json")
    assert refused.status == 1
    assert "cannot be recorded" in refused.err
    assert not (folder / "third.json").exists()
