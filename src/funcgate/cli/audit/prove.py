"""`funcgate audit prove`: one call's evidence in a file that can be checked anywhere."""

import os
from pathlib import Path
from typing import Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, fail, plain, print_json

from .content import opener_of
from .export import order_export
from .folder import DataDir, data_of


def prove_call(
    call: Annotated[str, typer.Argument(help="The call's id: Funcgate-Call-Id, or as `audit list` prints it.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write the pack; a new file.")],
    opened: Annotated[
        bool,
        typer.Option("--open", help="Put the content keys in too, so that the pack can be read, not only checked."),
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a call's evidence pack: its entries, inclusion proofs, the checkpoint, the key, the policies' text."""
    from funcgate.recording.proof import ProofTrouble
    from funcgate.recording.proof.pack import encode_pack, make_pack, summary

    folder = data_of(config, data_dir, as_json)
    try:
        opener = opener_of(folder, config, as_json) if opened else None
        pack = make_pack(folder, call, opener.reveal if opener is not None else None)
        if not out.exists():
            order_export(folder, {"format": "evidence", "call": call, "out": str(out), "opened": opened}, as_json)
        # Attack: none; a slip. A pack that is there already may be evidence too.
        with open(out, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(encode_pack(pack))
    except LookupError:
        raise fail(f"the journal has no call {call}", as_json=as_json) from None
    except ProofTrouble as trouble:
        raise fail(str(trouble), as_json=as_json) from None
    except FileExistsError:
        raise fail(f"{out} is there already", status=UNUSABLE, as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or folder}: {error.strerror}", as_json=as_json) from None
    told = summary(pack)
    if as_json:
        print_json({**told, "out": str(out)})
        return
    typer.echo(plain(f"{out}: {told['entries']} entries of call {call}, {told['objects']} objects; key {told['key']}"))
    for text in [*told["notes"], *(f"{digest}: {why}" for digest, why in told["absent"].items())]:
        typer.echo(plain(f"note: {text}"))
    typer.echo(f"check it with: funcgate audit verify --pack {out} --key VKEY")
