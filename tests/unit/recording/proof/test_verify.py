"""What verify says of journals that are sound and unusual, and of those that are not sound: which entry, where, why."""

import fcntl
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.archive.seekable import pack
from funcgate.recording.folder import segments
from funcgate.recording.proof import ProofTrouble, heads
from funcgate.recording.proof.oath import signed, signer_in
from funcgate.recording.proof.verify import Verdict, verify
from support.prover import Prover


def sound(prover: Prover, **options: object) -> Verdict:
    verdict = verify(prover.data_dir, **options)  # type: ignore[arg-type]
    assert verdict.faults == []
    assert verdict.sound
    return verdict


def first(prover: Prover, **options: object) -> str:
    verdict = verify(prover.data_dir, **options)  # type: ignore[arg-type]
    assert not verdict.sound
    assert verdict.first_bad is not None
    assert verdict.fault_count == len(verdict.faults)
    return verdict.first_bad.text


def proved(prover: Prover, count: int = 40, **fields: object) -> Prover:
    prover.write(count, **fields)
    prover.prove(every=7)
    return prover


def append(prover: Prover, **fields: object) -> None:
    """One more entry, written by hand at the end of the last segment."""
    last = prover.lines()[-1]
    entry = Entry(**{"seq": last.seq + 1, "at": last.at.decode(), "kind": Kind.ADMIN, "call": "", **fields})  # type: ignore[arg-type]
    path = prover.journal / last.segment
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(crc_added(encode_line(entry)[:-1]))


def order(prover: Prover, **change: object) -> None:
    """An order of retention, as the last entry."""
    append(prover, change=signed({"what": "expired", "before": "x", **change}, signer_in(prover.proof)))


def compress(path: Path) -> None:
    with path.open("rb") as source, path.with_name(f"{path.name}.zst").open("wb") as target:
        pack(source, target)
    path.unlink()


# -- sound


def test_in_one_process_and_in_several(prover: Prover) -> None:
    proved(prover)
    alone = sound(prover)
    several = sound(prover, processes=2)
    assert alone.entries == several.entries == alone.signed == len(prover.lines())
    assert (alone.unsigned, alone.expired, alone.outside) == (0, 0, 0)
    assert alone.segments > 2
    assert alone.bytes == sum(path.stat().st_size for path in segments(prover.journal))


def test_beside_a_gateway_that_writes(prover: Prover) -> None:
    """Lines without leaves yet, one that is half written, zeros written ahead."""
    proved(prover)
    prover.write(5)
    path = segments(prover.journal)[-1]
    path.chmod(0o600)
    with path.open("ab") as file:
        file.write(b'{"seq":99,"at":"20' + bytes(5000))
    verdict = sound(prover)
    assert verdict.unsigned == len(prover.lines()) - verdict.signed > 4
    assert "is not whole" in verdict.notes[0]


def test_compressed_segments(prover: Prover) -> None:
    proved(prover)
    size = sound(prover).bytes
    for path in segments(prover.journal)[:-1]:
        compress(path)
    verdict = sound(prover, processes=2)
    assert verdict.compressed == verdict.segments - 1 > 1
    assert verdict.bytes == size


def test_lines_that_were_refused_and_announced(prover: Prover) -> None:
    proved(prover)
    old = segments(prover.journal)[-1]
    end = old.stat().st_size
    before = prover.lines()[-1]
    old.chmod(0o600)
    for seq in (1, 2):
        append(prover, seq=before.seq + seq, change={"refused": True})
    header = {"segment": int(old.stem) + 1, "format": 2}
    void = {"outage": {"void": {"segment": old.name, "from_byte": end, "from_seq": before.seq + 1}}}
    lines = [
        encode_line(
            Entry(seq=before.seq + at, at=before.at.decode(), kind=Kind.ADMIN, call="", change=change)  # type: ignore[arg-type]
        )
        for at, change in enumerate((header, void), 1)
    ]
    new = prover.journal / f"{int(old.stem) + 1:08d}.jsonl"
    new.write_bytes(b"".join(crc_added(line[:-1]) for line in lines))
    sound(prover)
    prover.prove()
    assert sound(prover).unsigned == 0
    new.write_bytes(new.read_bytes().replace(b'"from_byte":%d' % end, b'"from_byte":%d' % (end - 1)))
    assert "lines that no outage explains" in first(prover)


def test_lines_that_no_outage_explains(prover: Prover) -> None:
    """Attack: hide an entry behind the last one of a finished segment, where some readers might look."""
    proved(prover)
    path = segments(prover.journal)[0]
    after = segments(prover.journal)[1].read_bytes().splitlines(keepends=True)[0]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + after)
    assert first(prover) == f"{path.name} goes on after its last entry with lines that no outage explains"


def test_what_retention_removed(prover: Prover) -> None:
    proved(prover)
    path = segments(prover.journal)[0]
    lines = [line for line in prover.lines() if line.segment == path.name]
    gone = [[1, lines[-1].seq]]
    content = path.read_bytes()
    path.unlink()
    assert f"entries 1 to {lines[-1].seq} are missing before" in first(prover)
    append(prover, change={"what": "expired", "class": "decisions", "before": "x", "gone": gone})
    prover.prove()
    assert "missing before" in first(prover)  # an order that somebody else wrote excuses nothing either
    order(prover, gone=gone)
    assert "missing before" in first(prover)  # an order that nobody has signed excuses nothing
    prover.prove()
    verdict = sound(prover)
    assert (verdict.expired, verdict.unsigned) == (lines[-1].seq, 0)
    second = segments(prover.journal)[0]
    hidden = second.read_bytes()
    second.unlink()
    assert "missing before" in first(prover)
    second.write_bytes(hidden)
    path.write_bytes(content)
    assert sound(prover).expired == 0


def test_expired_leaves_must_stay(prover: Prover) -> None:
    proved(prover)
    path = segments(prover.journal)[0]
    last = [line for line in prover.lines() if line.segment == path.name][-1].seq
    path.unlink()
    order(prover, gone=[[1, last]])
    prover.prove()
    leaves = prover.proof / "leaves"
    raw = bytearray(leaves.read_bytes())
    raw[5] ^= 1
    leaves.write_bytes(raw)
    assert "are not as signed" in first(prover)
    leaves.unlink()
    assert "leaves" in first(prover)


# -- not sound


def test_dropped_and_inserted(prover: Prover) -> None:
    proved(prover)
    line = prover.lines()[12]
    path = prover.journal / line.segment
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole.replace(line.line + b"\n", b""))
    verdict = verify(prover.data_dir)
    assert verdict.first_bad is not None
    assert verdict.first_bad.text == f"entry {line.seq} is missing: entry {line.seq + 1} stands in its place"
    assert (verdict.first_bad.segment, verdict.first_bad.offset) == (line.segment, line.offset)
    assert verdict.fault_count == 1
    path.write_bytes(whole.replace(line.line + b"\n", line.line + b"\n" + line.line + b"\n"))
    assert first(prover) == f"entry {line.seq + 1} is missing: entry {line.seq} stands in its place"
    path.write_bytes(whole.replace(line.line, b"{}" + line.line))
    assert first(prover) == f"entry {line.seq} is damaged: what stands in its place is no entry"
    path.write_bytes(whole)
    sound(prover)


def test_truncated(prover: Prover, tmp_path: Path) -> None:
    proved(prover)
    last = prover.lines()[-1]
    path = prover.journal / last.segment
    path.chmod(0o600)
    os.truncate(path, last.offset)
    assert first(prover) == (
        f"the journal ends with entry {last.seq - 1}, but {last.seq} were signed (proof/checkpoints.jsonl, line "
        f"{len((prover.proof / 'checkpoints.jsonl').read_bytes().splitlines())}): it was truncated or rolled back"
    )


def test_the_end_that_was_hashed_but_not_signed_yet(prover: Prover) -> None:
    proved(prover)
    size = len(prover.lines())
    prover.write(6)
    chore = prover.chore()
    chore.take(prover.lines()[size:])
    chore._let_go()  # as a kill does
    last = prover.lines()[-1]
    assert sound(prover).unsigned == last.seq - size > 5
    path = prover.journal / last.segment
    path.chmod(0o600)
    os.truncate(path, last.offset)
    assert f"but {last.seq} were hashed" in first(prover)


def test_everything_signed_anew_shows_in_a_copy(prover: Prover, tmp_path: Path) -> None:
    proved(prover)
    copy = tmp_path / "copy"
    copy.write_bytes((prover.proof / "checkpoint").read_bytes())
    size = len(prover.lines())
    for path in [
        *segments(prover.journal),
        *(prover.proof / name for name in ("leaves", "checkpoint", "checkpoints.jsonl")),
    ]:
        path.unlink()
    prover.write(60, reason="another past")
    prover.prove()
    sound(prover)
    assert first(prover, checkpoints=[copy]) == f"one or more of entries 1 to {size} are not as signed ({copy})"


@pytest.mark.parametrize("kept", [True, False])
def test_a_keeper_may_take_its_time_between_the_two_files(
    prover: Prover, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    proved(prover)
    latest, pauses = prover.proof / "checkpoint", 0
    note = latest.read_bytes()
    latest.unlink()

    def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 100:
            latest.write_bytes(note)

    monkeypatch.setattr(heads, "time", SimpleNamespace(sleep=pause))
    with (prover.data_dir / "keeper.lock").open("w") as lock:
        if kept:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sound(prover)
        else:
            assert "proof/checkpoint is missing" in first(prover)
            assert pauses < 10


def test_a_copy_of_another_journal(prover: Prover, tmp_path: Path) -> None:
    proved(prover)
    other = proved(Prover(tmp_path / "other"))
    assert "not by a known key" in first(prover, checkpoints=[other.proof / "checkpoint"])
    with pytest.raises(ProofTrouble, match="holds no checkpoints"):
        verify(prover.data_dir, checkpoints=[tmp_path])
    with pytest.raises(ProofTrouble, match="No such file"):
        verify(prover.data_dir, checkpoints=[tmp_path / "nowhere"])


def test_all_checkpoints_of_before(prover: Prover) -> None:
    proved(prover)
    assert sound(prover, checkpoints=[prover.proof / "checkpoints.jsonl"]).outside == sound(prover).checkpoints


def test_nothing_to_verify(prover: Prover) -> None:
    with pytest.raises(ProofTrouble, match="there is no journal"):
        verify(prover.data_dir)
    prover.write(3)
    with pytest.raises(ProofTrouble, match=r"public\.vkey is missing"):
        verify(prover.data_dir)
    chore = prover.chore()
    assert chore.position == 0  # the key is made, and nothing signed
    assert "there is no checkpoint" in first(prover)


def test_a_compressed_segment_that_is_not_whole(prover: Prover) -> None:
    proved(prover)
    path = segments(prover.journal)[1]
    compress(path)
    packed = path.with_name(f"{path.name}.zst")
    raw = packed.read_bytes()
    packed.write_bytes(raw[:-3])
    assert first(prover) == f"{path.name} cannot be read: the compressed file is not whole"
    packed.write_bytes(b"")
    assert first(prover) == f"{path.name} cannot be read: the compressed file is not whole"
    packed.write_bytes(raw[:40] + bytes([raw[40] ^ 4]) + raw[41:])
    assert not verify(prover.data_dir).sound
    packed.write_bytes(raw)
    sound(prover)


# -- objects


def put(prover: Prover, content: bytes) -> str:
    name = hashlib.sha256(content).hexdigest()
    path = prover.data_dir / "objects" / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"sha256:{name}"


def test_objects(prover: Prover) -> None:
    one, two = put(prover, b"one"), put(prover, b"two")
    path = prover.data_dir / "objects" / two[7:9] / two[7:]
    proved(prover, 3, object=one)
    proved(prover, 3, args_object=two, body=f'"object":"{one[:-1]}" is only text')
    verdict = sound(prover, objects=True)
    assert (verdict.objects, verdict.objects_expired) == (2, 0)
    path.write_bytes(b"not two")
    assert sound(prover).objects is None
    assert first(prover, objects=True) == f"object {two} is altered: its content has another digest"
    path.unlink()
    assert first(prover, objects=True) == f"object {two} is missing and has not expired"
    order(prover, objects=[two])
    assert "has not expired" in first(prover, objects=True)
    prover.prove()
    verdict = sound(prover, objects=True)
    assert (verdict.objects, verdict.objects_expired) == (2, 1)
    append(prover, change={"what": "withheld", "class": "content", "objects": [two]})
    assert "has not expired" in first(prover, objects=True)
