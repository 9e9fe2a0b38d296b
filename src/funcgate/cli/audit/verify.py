"""`funcgate audit verify`: whether the journal is the one that was signed, or whether an evidence pack is true."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import (
    DEFAULT_CONFIG,
    REFUSED,
    UNUSABLE,
    AsJson,
    ConfigFile,
    console,
    fail,
    plain,
    print_json,
    usable,
)

from .folder import DataDir, data_of

if TYPE_CHECKING:
    from funcgate.recording.proof.note import VerifierKey
    from funcgate.recording.proof.pack import PackVerdict
    from funcgate.recording.proof.scan import Fault
    from funcgate.recording.proof.verify import Verdict


def verify_journal(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE|DIR", help="A copy of a checkpoint kept elsewhere, or a folder of them."
        ),
    ] = None,
    copies: Annotated[
        bool, typer.Option("--copies", help="Fetch the copies that proof.copies names (folders and buckets).")
    ] = False,
    key: Annotated[
        str,
        typer.Option("--key", metavar="VKEY|FILE", help="The public key as you know it, instead of proof/public.vkey."),
    ] = "",
    objects: Annotated[
        bool, typer.Option("--objects", help="Look at the content objects and the content keys too.")
    ] = False,
    pack: Annotated[
        Path | None, typer.Option("--pack", metavar="FILE", help="Check an evidence pack instead of a journal.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check that nothing in the journal was changed, dropped, reordered, inserted, truncated or rolled back."""
    from funcgate.recording.proof import ProofTrouble

    try:
        known = _key(key) if key else None
        if pack is not None:
            _verify_pack(pack, known, as_json)
            return
        from funcgate.recording.proof.verify import verify

        fetched = _fetched(config, known, data_of(config, data_dir, as_json), as_json) if copies else ()
        verdict = verify(
            data_of(config, data_dir, as_json), checkpoints=checkpoint or (), copies=fetched, key=known, objects=objects
        )
    except (ProofTrouble, ValueError) as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or ''}: {error.strerror}", status=UNUSABLE, as_json=as_json) from None
    if as_json:
        print_json(verdict)
    else:
        console().print("\n".join(map(plain, _told(verdict))), soft_wrap=True)
    if not verdict.sound:
        raise typer.Exit(REFUSED)


def _verify_pack(path: Path, key: "VerifierKey | None", as_json: bool) -> None:
    from funcgate.recording.proof.pack import MAX_PACK_BYTES, check_pack

    if path.stat().st_size > MAX_PACK_BYTES:
        raise ValueError(f"{path} is too large for an evidence pack")
    verdict = check_pack(path.read_bytes(), key)
    if as_json:
        print_json(verdict)
    else:
        console().print("\n".join(map(plain, _told_of_pack(verdict))), soft_wrap=True)
    if not verdict.sound:
        raise typer.Exit(REFUSED)


def _key(text: str) -> "VerifierKey":
    """From the option: the key itself, or a file that holds it. Raises `ValueError` and `OSError`."""
    from funcgate.recording.proof.note import VerifierKey

    path = Path(text)
    return VerifierKey.parse(path.read_text() if path.is_file() else text)


def _fetched(config: Path, key: "VerifierKey | None", data_dir: Path, as_json: bool) -> list[tuple[str, bytes]]:
    from funcgate.config.glance import copies_of
    from funcgate.recording.proof.copies import CopyFailed, fetch
    from funcgate.recording.proof.key import public_key

    with usable(as_json):
        urls = [url for url in copies_of(config) if url.startswith(("file:", "s3:"))]
    known = key or public_key(data_dir / "proof")
    if not urls or known is None:
        raise ValueError(
            "proof.copies names no folder and no bucket" if not urls else "there is no public key: give --key"
        )
    found: list[tuple[str, bytes]] = []
    for url in urls:
        try:
            found += fetch(url, known)
        except CopyFailed as failed:
            raise ValueError(f"{url}: {failed}") from None
    return found


def _told(verdict: "Verdict") -> Iterator[str]:
    if verdict.first_bad is not None:
        yield f"TAMPERED: {_place(verdict.first_bad)}"
        yield from (f"  also: {_place(fault)}" for fault in verdict.faults[1:])
        if verdict.fault_count > len(verdict.faults):
            yield f"  and {verdict.fault_count - len(verdict.faults)} more"
    else:
        yield "The journal is sound: every entry is as it was signed."
    kept = f"{verdict.entries} entries in {verdict.segments} segments ({verdict.compressed} compressed)"
    yield kept + (f", {verdict.expired} more removed by retention" if verdict.expired else "")
    yield f"{verdict.signed} under a checkpoint, {verdict.unsigned} not yet"
    outside = f", {verdict.outside} of them kept elsewhere" if verdict.outside else ""
    yield f"{verdict.checkpoints + verdict.outside} checkpoints{outside}; key {verdict.key}"
    if not verdict.outside:
        yield "No checkpoint from elsewhere was given: whoever holds this host and its key could have signed another past."
    if verdict.objects is not None:
        yield f"{verdict.objects} content objects, {verdict.objects_expired} of them expired"
        yield f"{verdict.keys} content keys, {verdict.keys_expired} of them expired"
    yield from (f"note: {note}" for note in verdict.notes)
    yield f"{verdict.bytes / 1e6:.1f} MB in {verdict.seconds:.2f} s, {verdict.mb_per_s:.0f} MB/s"


def _place(fault: "Fault") -> str:
    if not fault.segment:
        return fault.text
    return f"{fault.text} ({fault.segment}{f', byte {fault.offset}' if fault.offset >= 0 else ''})"


def _told_of_pack(verdict: "PackVerdict") -> Iterator[str]:
    if verdict.sound:
        yield f"The pack is true: {len(verdict.kinds)} entries of call {verdict.call} are in the journal that was signed."
    else:
        yield f"FALSE: {verdict.faults[0]}"
        yield from (f"  also: {fault}" for fault in verdict.faults[1:])
    yield f"entries: {', '.join(verdict.kinds)}"
    yield f"checkpoint: {verdict.size} entries, {verdict.at or 'of an unknown time'}, signed by {verdict.key}"
    if not verdict.trusted:
        yield "The key came with the pack: compare it with the one you know, or give that with --key."
    yield f"configuration: {verdict.configuration or 'not in the pack'}; objects: {verdict.objects}"
    yield from (f"note: {note}" for note in verdict.notes)
