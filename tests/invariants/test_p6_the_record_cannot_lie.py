"""P6: changing, dropping, reordering, truncating or rolling back journal entries is detected by `funcgate audit verify`.

Thousands of random tamperings of a small journal, each by somebody who knows the format well: numbers and checksums are
made to fit, leaves are replaced together with their lines, and whole pasts are signed anew with the key of the host.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from funcgate.core.crc import crc_added
from funcgate.recording.proof import ProofTrouble
from funcgate.recording.proof.checkpoints import kept_lines, note_in
from funcgate.recording.proof.key import public_key, signer_of
from funcgate.recording.proof.merkle import leaf_hash, root_of
from funcgate.recording.proof.note import Checkpoint, Signer, VerifierKey
from funcgate.recording.proof.verify import Verdict, verify
from support.prover import Prover

ENTRIES = 90
Files = dict[str, bytes]


class Record:
    """A sound data folder, in memory, and as it was some time before. `copy` is a checkpoint that was taken elsewhere."""

    def __init__(self, folder: Path) -> None:
        prover = Prover(folder / "sound", segment_bytes=3000)
        prover.write(ENTRIES // 2, client="10.0.0.1:5", reason="as it was")
        prover.prove(every=9)
        self.older = read(prover.data_dir)
        prover.write(ENTRIES // 2, client="10.0.0.2:6", body="a longer answer that says something")
        prover.prove(every=7)
        self.files = read(prover.data_dir)
        self.folder = prover.data_dir
        self.copy = folder / "copy"
        shutil.copy(prover.proof / "checkpoint", self.copy)
        key = public_key(prover.proof)
        assert key is not None
        self.key: VerifierKey = key
        self.segments = sorted(name for name in self.files if name.endswith(".jsonl") and name.startswith("journal/"))

    def verdict(self, files: Files, *, outside: bool) -> Verdict | None:
        """Of these files; None when they are refused altogether. `outside`: what is kept elsewhere is given too."""
        write(self.folder, files)
        given = {"checkpoints": [self.copy], "key": self.key} if outside else {}
        try:
            return verify(self.folder, processes=1, **given)  # type: ignore[arg-type]
        except (ProofTrouble, OSError):
            return None


def read(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "frontier")
    }


def write(folder: Path, files: Files) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return Record(tmp_path_factory.mktemp("p6"))


# -- what somebody could do. Each changes `files`; the same name tells what was done when it was not noticed


def flip(files: Files, record: Record, dice: random.Random) -> None:
    name = dice.choice([*record.segments, "proof/leaves", "proof/checkpoint", "proof/checkpoints.jsonl"])
    content = bytearray(files[name])
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    files[name] = bytes(content)


def drop(files: Files, record: Record, dice: random.Random) -> None:
    lines = journal(files, record)
    at = dice.randrange(len(lines))
    del lines[at : at + dice.randint(1, 5)]
    put(files, record, lines, dice)


def swap(files: Files, record: Record, dice: random.Random) -> None:
    lines = journal(files, record)
    one, two = dice.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    put(files, record, lines, dice)


def insert(files: Files, record: Record, dice: random.Random) -> None:
    lines = journal(files, record)  # not behind the last: that is the next entry, of which nobody has signed anything
    lines.insert(dice.randrange(len(lines)), forged(dice.choice(lines), dice))
    put(files, record, lines, dice)


def change(files: Files, record: Record, dice: random.Random) -> None:
    lines = journal(files, record)
    at = dice.randrange(len(lines))
    lines[at] = forged(lines[at], dice)
    put(files, record, lines, dice)


def truncate(files: Files, record: Record, dice: random.Random) -> None:
    """At any byte; what comes after goes too. Sometimes the leaves go with it."""
    at = dice.randrange(len(record.segments))
    name = record.segments[at]
    keep = dice.randrange(len(files[name]))
    files[name] = files[name][:keep]
    for later in record.segments[at + 1 :]:
        del files[later]
    if dice.random() < 0.5:
        left = sum(files[other].count(b"\n") for other in record.segments[: at + 1])
        files["proof/leaves"] = files["proof/leaves"][: 32 * left]


def remove_segment(files: Files, record: Record, dice: random.Random) -> None:
    del files[dice.choice(record.segments)]


def excuse(files: Files, record: Record, dice: random.Random) -> None:
    """Remove a segment, and write the order for it behind the last entry."""
    seq = len(journal(files, record)) + 1
    name = dice.choice(record.segments[:-1])
    gone = [int(line[7:].partition(b",")[0]) for line in files.pop(name).splitlines()]
    change = {"what": "expired", "class": "decisions", "before": "x", "gone": [[gone[0], gone[-1]]]}
    order = {"seq": seq, "at": "2026-11-21T09:30:00.000000Z", "kind": "admin", "call": "", "change": change}
    files[record.segments[-1]] += crc_added(msgspec.json.encode(order))


def roll_back(files: Files, record: Record, dice: random.Random) -> None:
    """The journal as it was, with or without its leaves and its latest checkpoint."""
    names = ["journal/"]
    names += ["proof/leaves"] * dice.randint(0, 1) + ["proof/checkpoint"] * dice.randint(0, 1)
    for name in [name for name in files if name.startswith("journal/")]:
        del files[name]
    files.update(
        {name: content for name, content in record.older.items() if name in names or name.startswith("journal/")}
    )


def lines_and_leaves(files: Files, record: Record, dice: random.Random) -> None:
    """Any of the above to the lines, and leaves that fit."""
    dice.choice([drop, swap, insert, change])(files, record, dice)
    files["proof/leaves"] = b"".join(leaf_hash(line) for line in journal(files, record))


def edit_checkpoint(files: Files, record: Record, dice: random.Random) -> None:
    name = dice.choice(["proof/checkpoint", "proof/checkpoints.jsonl"])
    text = files[name].decode()
    at = dice.randrange(len(text) + 1)
    match dice.randrange(4):
        case 0:
            text = text[:at]
        case 1:
            text = text[:at] + dice.choice("0aZ \n=+") + text[at:]
        case 2:
            text = text.replace(dice.choice("0123456789"), dice.choice("0123456789"))
        case _:
            text = text.replace("sync always", "sync interval 5ms")
    files[name] = text.encode()


def older_checkpoint(files: Files, record: Record, dice: random.Random) -> None:
    """One of those before the last two: a stop can leave the file one behind."""
    lines = files["proof/checkpoints.jsonl"].splitlines()
    files["proof/checkpoint"] = note_in(dice.choice(lines[:-2]))


def forget_checkpoints(files: Files, record: Record, dice: random.Random) -> None:
    for name in dice.choice(
        [["proof/checkpoint"], ["proof/checkpoints.jsonl"], ["proof/leaves"], [*filter_proof(files)]]
    ):
        files.pop(name, None)


INSIDE: list[Callable[[Files, Record, random.Random], None]] = [
    flip, drop, swap, insert, change, truncate, remove_segment, excuse, roll_back, lines_and_leaves, edit_checkpoint,
    older_checkpoint, forget_checkpoints,
]  # fmt: skip


def sign_anew(files: Files, record: Record, dice: random.Random) -> None:
    """Another past, signed with the key that lies on the host: nothing on the host can tell."""
    lines_and_leaves(files, record, dice)
    signed_with(files, signer_of(record.folder / "proof"))


def sign_with_another_key(files: Files, record: Record, dice: random.Random) -> None:
    lines_and_leaves(files, record, dice)
    signer = Signer(record.key.name, Ed25519PrivateKey.generate())
    files["proof/public.vkey"] = f"{signer.key}\n".encode()
    signed_with(files, signer)


def roll_all_back(files: Files, record: Record, dice: random.Random) -> None:
    """The whole folder as it was."""
    files.clear()
    files.update(record.older)


def roll_all_back_and_go_on(files: Files, record: Record, dice: random.Random) -> None:
    """The whole folder as it was, and other entries since, more than there were."""
    roll_all_back(files, record, dice)
    lines = journal(files, record)
    while len(lines) < ENTRIES + 20:
        lines.append(forged(dice.choice(lines), dice))
    put(files, record, [numbered(line, seq) for seq, line in enumerate(lines, 1)], random.Random(0))
    files["proof/leaves"] = b"".join(leaf_hash(line) for line in journal(files, record))
    signed_with(files, signer_of(record.folder / "proof"))


OUTSIDE = [sign_anew, sign_with_another_key, roll_all_back, roll_all_back_and_go_on]


def journal(files: Files, record: Record) -> list[bytes]:
    names = sorted(name for name in files if name.startswith("journal/") and name.endswith(".jsonl"))
    return [line for name in names for line in files[name].splitlines()]


def raw(files: Files) -> bytes:
    """All that the journal says, however it is cut into segments."""
    return b"".join(files[name] for name in sorted(files) if name.startswith("journal/"))


def put(files: Files, record: Record, lines: list[bytes], dice: random.Random) -> None:
    """The lines in place of the old ones, in as many segments; in half of the cases numbered anew."""
    if dice.random() < 0.5:
        lines = [numbered(line, seq) for seq, line in enumerate(lines, 1)]
    names = [name for name in record.segments if name in files]
    share = -(-len(lines) // len(names))
    for at, name in enumerate(names):
        files[name] = b"".join(line + b"\n" for line in lines[at * share : (at + 1) * share])


def numbered(line: bytes, seq: int) -> bytes:
    return checked(b'{"seq":%d,' % seq + line.partition(b",")[2])


def forged(line: bytes, dice: random.Random) -> bytes:
    old = dice.choice([b"policy.denied", b"call-", b"10.0.0."])
    return checked(line.replace(old, old[:-1] + b"%d" % dice.randrange(10)))


def checked(line: bytes) -> bytes:
    return crc_added(line.rpartition(b',"crc"')[0] + b"}")[:-1]


def signed_with(files: Files, signer: Signer) -> None:
    hashes = [files["proof/leaves"][at : at + 32] for at in range(0, len(files["proof/leaves"]), 32)]
    text = Checkpoint(signer.key.name, len(hashes), root_of(hashes), ("at 2026-11-21T09:30:00.000000Z",)).text()
    note = signer.sign(text)
    files["proof/checkpoint"] = note.encode()
    files["proof/checkpoints.jsonl"] = msgspec.json.encode({"size": len(hashes), "note": note}) + b"\n"


def filter_proof(files: Files) -> list[str]:
    return [name for name in files if name.startswith("proof/") and name != "proof/key"]


# -- and that none of it goes unnoticed


def tampered(record: Record, seed: int) -> tuple[str, Files, bool]:
    dice = random.Random(seed)
    outside = seed % 10 == 9
    act = dice.choice(OUTSIDE if outside else INSIDE)
    write(record.folder, record.files)
    while True:
        files = dict(record.files)
        act(files, record, dice)
        proof = {name: files.get(name) for name in {*files, *record.files} if name.startswith("proof/")}
        other_proof = proof != {name: record.files.get(name) for name in proof}
        if raw(files) != raw(record.files) or (other_proof and not outside):
            return act.__name__, files, outside


def detect(record: Record, seeds: range) -> None:
    unseen: list[str] = []
    for seed in seeds:
        name, files, outside = tampered(record, seed)
        verdict = record.verdict(files, outside=outside)
        if verdict is not None and verdict.sound:
            unseen.append(f"{seed}: {name}")
    assert unseen == []


def test_the_record_is_sound_as_it_was_written(record: Record) -> None:
    verdict = record.verdict(record.files, outside=True)
    assert verdict is not None
    assert verdict.faults == []
    assert verdict.sound
    assert verdict.entries == verdict.signed > ENTRIES
    assert verdict.outside == 1
    assert verdict.checkpoints == len(list(kept_lines(record.folder / "proof"))) > 10


def test_what_comes_after_the_last_checkpoint_is_told_apart(record: Record) -> None:
    files = dict(record.files)
    last = record.segments[-1]
    line = journal(files, record)[-1]
    seq = len(journal(files, record))
    files[last] += numbered(line, seq + 1) + b"\n"
    verdict = record.verdict(files, outside=True)
    assert verdict is not None
    assert verdict.sound
    assert (verdict.signed, verdict.unsigned) == (seq, 1)


def test_500_tamperings_are_detected(record: Record) -> None:
    detect(record, range(500))


@pytest.mark.slow
def test_10_000_tamperings_are_detected(record: Record) -> None:
    detect(record, range(1_000_000, 1_010_000))


@pytest.mark.parametrize("leaves", [True, False])
def test_every_entry_is_named_when_it_is_the_one(record: Record, leaves: bool) -> None:
    """A changed entry is named by its number; without leaves that tell, by the range between two checkpoints."""
    lines = journal(record.files, record)
    sizes = [int(note_in(line).split(b"\n")[1]) for line in record.files["proof/checkpoints.jsonl"].splitlines()]
    for seq in range(1, len(lines) + 1):
        files = dict(record.files)
        new = forged(lines[seq - 1], random.Random(seq))
        if new == lines[seq - 1]:
            continue
        for name in record.segments:
            files[name] = files[name].replace(lines[seq - 1] + b"\n", new + b"\n")
        if not leaves:
            files["proof/leaves"] = b"".join(map(leaf_hash, journal(files, record)))
        verdict = record.verdict(files, outside=False)
        assert verdict is not None
        assert verdict.first_bad is not None
        if leaves:
            assert verdict.first_bad.seq == seq
            assert verdict.first_bad.text == f"entry {seq} was changed"
            assert verdict.first_bad.segment.endswith(".jsonl")
            raw = files[f"journal/{verdict.first_bad.segment}"][verdict.first_bad.offset :]
            assert raw.startswith(new)
        else:
            last = min(size for size in sizes if size >= seq)
            assert verdict.first_bad.seq == max([0, *(size for size in sizes if size < seq)]) + 1 <= seq <= last
            assert f"{last}" in verdict.first_bad.text
