"""The chore over a real journal: restarts, crashes at every step, and a journal that is not the one it hashed."""

import stat
from pathlib import Path

import pytest

from funcgate.core.crc import crc_added
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import segments
from funcgate.recording.proof import ProofTrouble, latest_size
from funcgate.recording.proof.checkpoints import kept_lines, latest, note_in
from funcgate.recording.proof.key import public_key
from funcgate.recording.proof.merkle import leaf_hash, root_of
from funcgate.recording.proof.note import open_checkpoint
from support.prover import Prover


def check(prover: Prover) -> int:
    """Everything on the disk agrees with the journal, worked out anew."""
    hashes = [leaf_hash(line.line) for line in prover.lines()]
    leaves = (prover.proof / "leaves").read_bytes()
    key = public_key(prover.proof)
    assert key is not None
    signed = latest(prover.proof)
    assert signed is not None
    assert leaves[: 32 * signed.size] == b"".join(hashes[: signed.size])
    sizes = []
    for _, line in kept_lines(prover.proof):
        checkpoint = open_checkpoint(note_in(line), [key])
        assert checkpoint.root == root_of(hashes[: checkpoint.size])
        sizes.append(checkpoint.size)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == signed.size == latest_size(prover.data_dir)
    return signed.size


def test_first_run(prover: Prover) -> None:
    assert latest_size(prover.data_dir) == 0
    prover.write(40)
    prover.prove(every=10, sync="interval 5ms")
    assert check(prover) == len(prover.lines()) > 40
    key = prover.proof / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    note = (prover.proof / "checkpoint").read_text().splitlines()
    assert note[0] == str(public_key(prover.proof)).partition("+")[0]
    assert note[0].startswith("funcgate/")
    assert note[3].startswith("at 20")
    assert note[4] == "sync interval 5ms"


def test_restarts_go_on(prover: Prover) -> None:
    for _ in range(4):
        prover.write(15)
        prover.prove(every=4, origin="acme.example/funcgate")
        assert check(prover) == len(prover.lines())
    assert prover.chore(origin="acme.example/funcgate").position == len(prover.lines())


def test_nothing_new_is_not_signed_again(prover: Prover) -> None:
    prover.write(5)
    prover.prove()
    before = (prover.proof / "checkpoints.jsonl").read_bytes()
    chore = prover.chore()
    chore.tick()
    chore.close()
    assert (prover.proof / "checkpoints.jsonl").read_bytes() == before


def test_a_checkpoint_every_so_often(prover: Prover) -> None:
    prover.write(10)
    chore = prover.chore(every_s=3600.0)
    found = prover.lines()
    for line in found:
        chore.take([line])
        chore.tick()
    assert latest_size(prover.data_dir) == 1
    assert chore.status.size == len(found)
    chore.close()
    assert check(prover) == len(found)


@pytest.mark.parametrize(
    "torn", ["leaves", "blank leaves", "checkpoints.jsonl", "checkpoint", "frontier", "bad frontier"]
)
def test_what_a_crash_leaves(prover: Prover, torn: str) -> None:
    prover.write(20)
    prover.prove(every=5)
    size = len(prover.lines())
    prover.write(10)
    leaves = prover.proof / "leaves"
    if torn == "leaves":
        with leaves.open("ab") as file:
            file.write(leaf_hash(prover.lines()[size].line) + b"half of a leaf")
    elif torn == "blank leaves":
        with leaves.open("ab") as file:
            file.write(bytes(64) + leaf_hash(prover.lines()[size + 2].line))
    elif torn == "checkpoints.jsonl":
        with (prover.proof / torn).open("ab") as file:
            file.write(b'{"size":3')
    elif torn == "bad frontier":
        frontier = prover.proof / "frontier"
        frontier.write_bytes(frontier.read_bytes().replace(b"a", b"b"))
    else:
        (prover.proof / torn).unlink()
    prover.prove()
    assert check(prover) == len(prover.lines())


def test_lines_given_again_or_left_out(prover: Prover) -> None:
    prover.write(30)
    found = prover.lines()
    chore = prover.chore()
    chore.take(found[:10])
    chore.take(found[5:15])
    chore.take(found[2:6])
    chore.take(found[25:26])
    assert chore.position == 26
    chore.take(found[26:])
    chore.close()
    assert check(prover) == len(found)


def test_lines_that_jump(prover: Prover) -> None:
    prover.write(30)
    found = prover.lines()
    chore = prover.chore()
    with pytest.raises(ChoreFailed, match="has entry 3 where entry 2 belongs"):
        chore.take([found[0], *found[2:]])
    assert "entry 3" in chore.status.problem
    assert chore.position == 0
    assert "entry 3" in chore.status.problem
    chore.take(found)
    assert chore.status.problem == ""
    chore.close()


@pytest.mark.parametrize("at", [20, 23])
def test_a_line_that_changed_after_it_was_hashed(prover: Prover, at: int) -> None:
    """Under a checkpoint, or hashed and not yet signed: a restart does not take it for the line it was."""
    prover.write(20)
    prover.prove(every=5)
    prover.write(10)
    chore = prover.chore()
    chore.take(prover.lines()[20:])
    chore._let_go()  # as a kill does: no checkpoint
    changed = prover.lines()[at]
    path = prover.journal / changed.segment
    path.chmod(0o600)
    forged = crc_added(changed.line.replace(b"policy.denied", b"policy.deniee").rpartition(b',"crc"')[0] + b"}")
    path.write_bytes(path.read_bytes().replace(changed.line + b"\n", forged))
    before = (prover.proof / "checkpoints.jsonl").read_bytes(), (prover.proof / "leaves").read_bytes()
    with pytest.raises(ChoreFailed, match=f"entry {changed.seq} in {changed.segment} is not the one that was hashed"):
        prover.prove()
    assert ((prover.proof / "checkpoints.jsonl").read_bytes(), (prover.proof / "leaves").read_bytes()) == before


def test_a_journal_that_was_rolled_back(prover: Prover) -> None:
    prover.write(10)
    old = {path: path.read_bytes() for path in segments(prover.journal)}
    prover.write(10)
    prover.prove()
    size = latest_size(prover.data_dir)
    for path in segments(prover.journal):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    with pytest.raises(ChoreFailed, match=f"but {size} entries were signed: it was truncated or rolled back"):
        _ = prover.chore().position
    assert latest_size(prover.data_dir) == size


def test_leaves_that_are_not_the_signed_ones(prover: Prover) -> None:
    prover.write(10)
    prover.prove()
    leaves = prover.proof / "leaves"
    good = leaves.read_bytes()
    leaves.write_bytes(good[:-32])
    with pytest.raises(ChoreFailed, match="leaves that were signed"):
        _ = prover.chore().position
    leaves.write_bytes(bytes(32) + good[32:])
    (prover.proof / "frontier").unlink()
    with pytest.raises(ChoreFailed, match="does not give the root"):
        _ = prover.chore().position
    assert leaves.read_bytes() == bytes(32) + good[32:]


def test_two_at_once(prover: Prover) -> None:
    prover.write(3)
    first, second = prover.chore(), prover.chore()
    assert first.position == 0
    with pytest.raises(ChoreFailed, match="another process writes"):
        _ = second.position
    first.close()
    assert second.position == 0
    second.close()


def test_a_full_disk(prover: Prover, monkeypatch: pytest.MonkeyPatch) -> None:
    prover.write(10)
    chore = prover.chore()
    found = prover.lines()
    chore.take(found[:5])
    (prover.proof / "checkpoints.jsonl").mkdir()
    with pytest.raises(ChoreFailed, match=r"checkpoints\.jsonl"):
        chore.tick()
    assert chore.status.problem
    (prover.proof / "checkpoints.jsonl").rmdir()
    chore.take(found[5:])
    chore.tick()
    assert chore.status.problem == ""
    chore.close()
    assert check(prover) == len(found)


# -- the key


def failing(prover: Prover, **options: object) -> str:
    with pytest.raises(ChoreFailed) as caught:
        _ = prover.chore(**options).position
    return str(caught.value)


def test_keys_that_are_refused(prover: Prover, tmp_path: Path) -> None:
    prover.write(5)
    prover.prove()
    key, public = prover.proof / "key", prover.proof / "public.vkey"
    pem = key.read_bytes()
    other = Prover(tmp_path / "other")
    other.write(1)
    other.prove()
    known = public_key(prover.proof)
    assert known is not None
    assert "the key of the proof is not the one" in failing(prover, key=other.proof / "key", origin=known.name)
    assert "the origin of the proof is not the one" in failing(prover, origin="new.example")
    assert "proof.origin" in failing(prover, origin="a b")
    key.chmod(0o644)
    assert "chmod 600" in failing(prover)
    key.chmod(0o600)
    key.write_bytes(b"nonsense")
    assert "no private key in PEM" in failing(prover)
    key.unlink()
    assert "is gone" in failing(prover)
    assert not key.exists()
    key.write_bytes(pem)
    key.chmod(0o600)
    text = public.read_text()
    public.unlink()
    assert "public.vkey is gone" in failing(prover)
    with pytest.raises(ProofTrouble, match=r"public\.vkey is gone"):
        latest_size(prover.data_dir)
    public.write_text("x+y+z")
    assert "no verifier key" in failing(prover)
    public.write_text(text)
    prover.prove()
    assert check(prover) == len(prover.lines())


def test_a_key_of_another_kind(prover: Prover, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path / "ec.pem"
    path.write_bytes(generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    prover.write(1)
    assert "not Ed25519" in failing(prover, key=path)


def test_a_forged_checkpoint_is_not_believed(prover: Prover) -> None:
    prover.write(5)
    prover.prove()
    path = prover.proof / "checkpoint"
    path.write_text(path.read_text().replace("\n6\n", "\n5\n"))
    with pytest.raises(ProofTrouble, match="not of this text"):
        latest_size(prover.data_dir)


def test_an_older_checkpoint_in_place_of_the_latest(prover: Prover) -> None:
    prover.write(5)
    prover.prove(every=2)
    size = latest_size(prover.data_dir)
    number, line = next(kept_lines(prover.proof))
    assert number == 1
    (prover.proof / "checkpoint").write_bytes(note_in(line))
    assert latest_size(prover.data_dir) == size
