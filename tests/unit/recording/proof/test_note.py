"""Notes and checkpoints: the specifications' own examples, round trips, and everything that must not be taken for one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from funcgate.recording.proof.note import (
    Checkpoint,
    NoteInvalid,
    Signer,
    VerifierKey,
    open_checkpoint,
    open_note,
)

# The key and the note in the documentation of Go's sumdb/note, which the specification was made from.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SIGNER = Signer("acme.example/funcgate", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer("acme.example/funcgate", Ed25519PrivateKey.from_private_bytes(bytes(32)))
HEAD = Checkpoint("acme.example/funcgate", 7, bytes(range(32)), ("at 2026-11-21T09:30:00.000000Z", "sync always"))
NOTE = SIGNER.sign(HEAD.text())


def test_a_note_that_another_implementation_signed() -> None:
    key = VerifierKey.parse(GO_KEY)
    assert str(key) == GO_KEY
    assert open_note(GO_NOTE.encode(), [key]) == GO_TEXT


def test_there_and_back() -> None:
    key = VerifierKey.parse(str(SIGNER.key))
    assert key == SIGNER.key
    assert open_checkpoint(NOTE.encode(), [key]) == HEAD
    assert HEAD.at == "2026-11-21T09:30:00.000000Z"
    assert Checkpoint.parse(HEAD.text()) == HEAD
    assert NOTE.startswith("acme.example/funcgate\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nat 2026-")


def test_signatures_of_others_are_ignored() -> None:
    witness = "— witness.example " + base64.b64encode(bytes(76)).decode() + "\n"
    assert open_checkpoint((NOTE + witness).encode(), [SIGNER.key]) == HEAD
    head, _, last = NOTE.rpartition("\n\n")
    assert open_checkpoint(f"{head}\n\n{witness}{last}".encode(), [SIGNER.key, OTHER.key]) == HEAD
    both = NOTE + OTHER.sign(HEAD.text()).rpartition("\n\n")[2]
    assert open_checkpoint(both.encode(), [OTHER.key]) == HEAD


def test_a_wrong_signature_spoils_the_note_even_beside_a_right_one() -> None:
    wrong = "— acme.example/funcgate " + base64.b64encode(OTHER.key.id + bytes(64)).decode() + "\n"
    with pytest.raises(NoteInvalid, match="not of this text"):
        open_note((NOTE + wrong).encode(), [SIGNER.key, OTHER.key])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n8\n"),
        ("\n7\n", "\n07\n"),
        ("sync always", "sync interval 5ms"),
        ("\n\n— ", "\n— "),
        ("\n\n— ", "\n\n- "),
        ("— acme.example/funcgate ", "— acme.example/funcgate  "),
        ("— acme.example/funcgate ", "— acme.example+funcgate "),
        ("always\n", "always\r\n"),
        ("acme.example/funcgate\n7", "acme.example/other\n7"),
    ],
)
def test_a_changed_note_is_refused(old: str, new: str) -> None:
    assert old in NOTE
    with pytest.raises(NoteInvalid):
        open_checkpoint(NOTE.replace(old, new, 1).encode(), [SIGNER.key])


@pytest.mark.parametrize(
    "note", [b"", b"\n", b"\n\n", b"a\n", b"a\n\n", NOTE[:-1].encode(), b"\xff\n\n" + NOTE.encode()]
)
def test_what_is_no_note(note: bytes) -> None:
    with pytest.raises(NoteInvalid):
        open_note(note, [SIGNER.key])


def test_other_keys() -> None:
    with pytest.raises(
        NoteInvalid, match=f"signed by acme.example/funcgate\\+{SIGNER.key.id.hex()}, not by a known key"
    ):
        open_note(NOTE.encode(), [OTHER.key])
    elsewhere = Signer("else.example", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    with pytest.raises(NoteInvalid, match="another log"):
        open_checkpoint(elsewhere.sign(HEAD.text()).encode(), [elsewhere.key])


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_noise_is_no_note(noise: bytes) -> None:
    with pytest.raises(NoteInvalid):
        open_checkpoint(noise, [SIGNER.key])


@given(st.integers(0, 8 * len(NOTE.encode()) - 1))
def test_no_bit_of_a_note_may_change(bit: int) -> None:
    raw = bytearray(NOTE.encode())
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(NoteInvalid):
        open_checkpoint(bytes(raw), [SIGNER.key])


@pytest.mark.parametrize(
    "text",
    ["", "x", GO_KEY[:-1], GO_KEY.replace("c74f", "c74e"), GO_KEY.replace("+AR", "+BR"), "a b" + GO_KEY, "+" + GO_KEY],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteInvalid):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text", ["a\n1\n", "a\n1\n\n", "a\n-1\nAA==\n", "a\n1\nAA==\n", HEAD.text()[:-1], HEAD.text() + "\n"]
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(text)


def test_a_name_that_would_end_the_line() -> None:
    with pytest.raises(NoteInvalid):
        Signer("a b", Ed25519PrivateKey.generate())
