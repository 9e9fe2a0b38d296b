"""Evidence packs: all that the journal holds of one call, with the proof that it is in the journal, in one file.

A pack is checked with nothing but itself and a public key. It refuses to hold what it cannot prove.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.entry import Entry, Kind, decode_line
from funcgate.recording.contents.errors import ContentError
from funcgate.recording.contents.places import Places
from funcgate.recording.folder import Line, lines
from funcgate.recording.reader import read_call, with_room

from .blocks import read_blocks
from .checkpoints import Signed, latest
from .key import PUBLIC, public_key
from .leaves import LEAVES, Leaves
from .merkle import Tree, leaf_hash, verify_inclusion
from .note import NoteInvalid, VerifierKey, open_checkpoint
from .scan import change_in
from .trouble import ProofTrouble
from .unsealing import Unsealing, key_names

FORMAT = 1
MAX_PACK_BYTES = 1 << 30
_ADMIN = b'"kind":"admin",'
HOW = (
    "Each entry is one line of the journal: its bytes in UTF-8, without the line break. Its leaf hash is SHA-256 of a zero byte "
    "and the line.",
    "'index' and 'path' are the inclusion proof (RFC 9162, section 2.1.3) of that leaf in the tree whose size and root the "
    "checkpoint says; hashes are in base64.",
    "'checkpoint' is a C2SP signed note (c2sp.org/tlog-checkpoint): origin, size, root, then a signature by 'key' (Ed25519).",
    "The key in the pack proves nothing by itself: compare it with the public.vkey that you know, and the checkpoint with a copy "
    "that was kept elsewhere.",
    "'configuration' is the entry that holds the text of the version that decided; entries name it in policy.version.",
    "'objects' are contents too large for an entry, in base64, under the SHA-256 by which entries name them.",
    "'keys' open what is encrypted in the entries and objects (AES-256-GCM: 12 bytes of nonce, then ciphertext and tag).",
    "funcgate checks all of this offline: funcgate audit verify --pack FILE --key VKEY",
)


class Proved(Struct, frozen=True):
    """One line and its inclusion proof. `index` counts leaves from 0; `path` holds hashes in base64."""

    index: int
    line: str
    path: tuple[str, ...]


class Pack(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An evidence pack, as its file holds it. `absent` says of objects and keys that are not here why not; `keys` (AES-256, in
    base64) open what is sealed in the entries, where whoever made the pack wanted that."""

    funcgate_evidence: int
    call: str
    how_to_check: tuple[str, ...]
    key: str
    checkpoint: str
    entries: tuple[Proved, ...]
    configuration: Proved | None = None
    objects: Mapping[str, str] = {}
    keys: Mapping[str, str] = {}
    absent: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class PackVerdict(Struct, kw_only=True):
    """What came out of checking a pack. `trusted` says that the key was given, not only found in the pack. `entries` are as they
    can be read with what the pack holds."""

    sound: bool
    trusted: bool
    call: str
    key: str
    size: int
    at: str
    kinds: list[str]
    configuration: str
    objects: int
    faults: list[str]
    notes: list[str]
    entries: list[Entry]


def make_pack(data_dir: Path, call: str, reveal: Callable[[str], bytes] | None = None) -> Pack:
    """Everything of one call. With `reveal`, which gives a content key by its name, the pack can be read too.

    Raises `LookupError` when the journal has no such call, `ProofTrouble` and `OSError`.
    """
    journal, proof = data_dir / "journal", data_dir / "proof"
    damaged: list[str] = []
    record = read_call(journal, call, damaged=damaged.append)
    if record is None:
        raise LookupError(call)
    key, signed = public_key(proof), latest(proof)
    if key is None or signed is None:
        raise ProofTrouble(f"{proof / PUBLIC} or the checkpoints beside it are missing: nothing can be proved")
    last = record.entries[-1].seq
    if last > signed.size:
        raise ProofTrouble(
            f"entry {last} of the call is not under a checkpoint yet (the latest covers {signed.size}): wait for the next one"
        )
    found = _lines_of(journal, record.entries)
    config = _configuration(journal, record.entries)
    decided = any(entry.policy is not None for entry in record.entries)
    notes = ["the journal holds no text of the configuration that decided"] if decided and config is None else []
    if damaged:
        notes.append(f"{len(damaged)} line(s) of the journal cannot be read; entries of this call may be among them")
    objects, absent = _objects(data_dir, found)
    keys = _keys(found, reveal, absent) if reveal is not None else {}
    proved = _all_proved(proof, [*found, *([config] if config is not None else [])], signed)
    return Pack(
        funcgate_evidence=FORMAT,
        call=call,
        how_to_check=HOW,
        key=str(key),
        checkpoint=signed.note.decode(),
        entries=tuple(proved[: len(found)]),
        configuration=proved[-1] if config is not None else None,
        objects=objects,
        keys=keys,
        absent=absent,
        notes=tuple(notes),
    )


def _all_proved(proof: Path, found: Sequence[Line], signed: Signed) -> list[Proved]:
    """With the nodes that are kept; without them if they are wrong."""
    leaves = Leaves(proof / LEAVES)
    try:
        for blocks in (read_blocks(proof), b""):
            tree = Tree(leaves.read, blocks)
            if not blocks or tree.root(signed.size) == signed.checkpoint.root:
                break
        return [_proved(line, tree, signed) for line in found]
    except EOFError as error:
        raise ProofTrouble(str(error)) from None
    finally:
        leaves.close()


def encode_pack(pack: Pack) -> bytes:
    return msgspec.json.format(msgspec.json.encode(pack), indent=1) + b"\n"


def check_pack(raw: bytes, key: VerifierKey | None = None) -> PackVerdict:
    """Check a pack's file. `key` is the public key as it is known, else the pack's own. Raises `ValueError` for no pack."""
    try:
        pack = msgspec.json.decode(raw, type=Pack)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"this is no evidence pack: {error}") from None
    if pack.funcgate_evidence != FORMAT:
        raise ValueError(f"this pack has format {pack.funcgate_evidence}, and this version of funcgate knows {FORMAT}")
    verdict = PackVerdict(
        sound=False, trusted=key is not None, call=pack.call, key=pack.key, size=0, at="", kinds=[], configuration="",
        objects=len(pack.objects), faults=[], notes=list(pack.notes), entries=[],
    )  # fmt: skip
    _check(pack, key, verdict)
    verdict.sound = not verdict.faults
    return verdict


def _check(pack: Pack, key: VerifierKey | None, verdict: PackVerdict) -> None:
    try:
        used = key or VerifierKey.parse(pack.key)
        checkpoint = open_checkpoint(pack.checkpoint.encode("utf-8", "replace"), [used])
    except NoteInvalid as error:
        verdict.faults.append(f"the checkpoint: {error}")
        return
    verdict.key, verdict.size, verdict.at = str(used), checkpoint.size, checkpoint.at
    if not pack.entries:
        verdict.faults.append("the pack holds no entry")
    named: set[str] = set()
    versions: set[str] = set()
    before = -1
    for proved in pack.entries:
        entry = _entry(proved, checkpoint.size, checkpoint.root, verdict)
        if entry is None:
            continue
        # Attack: true entries, of another call.
        if entry.call != pack.call:
            verdict.faults.append(f"entry {entry.seq} is of another call")
        if proved.index <= before:
            verdict.faults.append(f"entry {entry.seq} is not in its place")
        before = proved.index
        verdict.kinds.append(entry.kind)
        verdict.entries.append(entry)
        named.update(_named(entry))
        if entry.policy is not None and entry.policy.version:
            versions.add(entry.policy.version)
    _look_for_gaps(verdict)
    _check_configuration(pack, versions, checkpoint.size, checkpoint.root, verdict)
    _check_objects(pack, named, verdict)
    _open(pack, verdict)


def _open(pack: Pack, verdict: PackVerdict) -> None:
    """The entries as they read, now that what they name is known to be theirs."""
    if verdict.faults:
        return
    keys = {name: _unbase64(key) for name, key in pack.keys.items()}
    unsealing = Unsealing(keys, {digest: _unbase64(content) for digest, content in pack.objects.items()})
    for at, entry in enumerate(verdict.entries):
        try:
            verdict.entries[at] = unsealing.open(entry)
        except ValueError as error:
            verdict.faults.append(str(error))
    sealed = {name for entry in verdict.entries for name in key_names(entry)}
    for name in sorted(sealed - keys.keys()):
        verdict.notes.append(
            f"what is sealed with {name} cannot be read: {pack.absent.get(name, 'its key is not in the pack')}"
        )


def _entry(proved: Proved, size: int, root: bytes, verdict: PackVerdict) -> Entry | None:
    line = proved.line.encode("utf-8", "surrogatepass")
    path = [_unbase64(node) for node in proved.path]
    if not verify_inclusion(leaf_hash(line), proved.index, size, path, root):
        verdict.faults.append(f"the entry at index {proved.index} is not in the tree of the checkpoint")
        return None
    try:
        entry = with_room(decode_line, line)
    except (msgspec.MsgspecError, RecursionError):
        verdict.faults.append(f"the entry at index {proved.index} cannot be read")
        return None
    if entry.seq != proved.index + 1:
        verdict.faults.append(f"the entry at index {proved.index} says that it is number {entry.seq}")
    return entry


def _look_for_gaps(verdict: PackVerdict) -> None:
    """Attack: leave out what does not suit. Not all of it shows, and what shows may have expired or not have come yet."""
    kinds, pieces = verdict.kinds, [entry.piece for entry in verdict.entries if entry.piece]
    if Kind.ARRIVED not in kinds and Kind.DENIED not in kinds:
        verdict.notes.append("the arrival of the call is not in the pack")
    if Kind.ARRIVED in kinds and Kind.ENDED not in kinds:
        verdict.notes.append("the end of the call is not in the pack")
    if pieces != list(range(1, len(pieces) + 1)):
        verdict.notes.append("pieces of the answer are not in the pack")
    told = sum(entry.body_bytes for entry in verdict.entries if entry.kind is Kind.ENDED)
    found = sum(entry.body_bytes for entry in verdict.entries if entry.kind is Kind.CHUNK)
    if told > found:
        verdict.notes.append(f"{told - found} of the {told} bytes of the answer are in no entry of the pack")


def _check_configuration(pack: Pack, versions: set[str], size: int, root: bytes, verdict: PackVerdict) -> None:
    if pack.configuration is None:
        if versions:
            verdict.notes.append("the text of the configuration that decided is not in the pack")
        return
    if _entry(pack.configuration, size, root, verdict) is None:
        return
    change = change_in(pack.configuration.line.encode())
    if change.get("what") != "configuration":
        # Attack: another entry of the same journal, an order say, in which somebody has put a text and a version.
        verdict.faults.append("what is in the pack as the configuration is another entry")
        return
    if versions and change.get("new") not in versions:
        verdict.faults.append("the configuration in the pack is of another version than the one that decided")
    verdict.configuration = str(change.get("new", ""))


def _check_objects(pack: Pack, named: set[str], verdict: PackVerdict) -> None:
    for digest, content in pack.objects.items():
        if digest not in named:
            verdict.faults.append(f"no entry names the object {digest}")
        elif f"sha256:{sha256(_unbase64(content)).hexdigest()}" != digest:
            verdict.faults.append(f"the object {digest} was altered")
    for digest in sorted(named - pack.objects.keys()):
        verdict.notes.append(f"the object {digest} is not in the pack: {pack.absent.get(digest, 'nothing says why')}")


def _lines_of(journal: Path, entries: Sequence[Entry]) -> list[Line]:
    """The lines as they are in the files."""
    wanted = {entry.seq for entry in entries}
    found = []
    for line in lines(journal, after=min(wanted) - 1):
        if line.seq in wanted:
            found.append(line)
            if len(found) == len(wanted):
                return found
    raise ProofTrouble("an entry of the call was removed while the pack was made")


def _configuration(journal: Path, entries: Iterable[Entry]) -> Line | None:
    """The entry with the text of the version that decided: the last such one before the decision."""
    decided = [entry for entry in entries if entry.policy is not None and entry.policy.version]
    if not decided or decided[-1].policy is None:
        return None
    version = decided[-1].policy.version
    for line in lines(journal, newest_first=True):
        if line.seq < decided[-1].seq and version.encode() in line.line and _ADMIN in line.line[:120]:
            change = change_in(line.line)
            if change.get("what") == "configuration" and change.get("new") == version:
                return line
    return None


def _keys(found: Iterable[Line], reveal: Callable[[str], bytes], absent: dict[str, str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for name in sorted({name for line in found for name in key_names(with_room(decode_line, line.line))}):
        try:
            keys[name] = base64.b64encode(reveal(name)).decode()
        except ContentError as error:
            absent[name] = str(error)
    return keys


def _objects(data_dir: Path, found: Iterable[Line]) -> tuple[dict[str, str], dict[str, str]]:
    places = Places(data_dir)
    objects: dict[str, str] = {}
    absent: dict[str, str] = {}
    entries = [with_room(decode_line, line.line) for line in found]
    for digest, where in sorted({(name, entry.where) for entry in entries for name in _named(entry)}):
        try:
            objects[digest] = base64.b64encode(places.store(where).read(digest)).decode()
        except ContentError as error:
            absent[digest] = str(error)
    return objects, absent


def _named(entry: Entry) -> list[str]:
    return [name for name in (entry.object, entry.args_object) if name]


def _proved(line: Line, tree: Tree, signed: Signed) -> Proved:
    index, checkpoint = line.seq - 1, signed.checkpoint
    path = tree.inclusion(index, checkpoint.size)
    if not verify_inclusion(leaf_hash(line.line), index, checkpoint.size, path, checkpoint.root):
        raise ProofTrouble(f"entry {line.seq} is not as it was signed; see what with: funcgate audit verify")
    try:
        text = line.line.decode()
    except UnicodeDecodeError:
        raise ProofTrouble(f"entry {line.seq} is not UTF-8") from None
    return Proved(index, text, tuple(base64.b64encode(node).decode() for node in path))


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def summary(pack: Pack) -> dict[str, Any]:
    """What a pack holds, for whoever made it."""
    return {
        "call": pack.call,
        "entries": len(pack.entries),
        "configuration": pack.configuration is not None,
        "objects": len(pack.objects),
        "keys": len(pack.keys),
        "absent": dict(pack.absent),
        "notes": list(pack.notes),
        "key": pack.key,
    }
