"""`funcgate check`: every problem of a configuration, with its place and the nearest right spelling."""

from typing import Annotated

import typer

from .say import DEFAULT_CONFIG, AsJson, ConfigFile, print_json, print_problems, usable


def check(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets", help="Do not look for the targets' secrets, which are not on this machine.")
    ] = False,
) -> None:
    """Read the configuration as `serve` would, and say what is wrong with it. Nothing is started or written."""
    from funcgate.app import read_parts

    with usable(as_json):
        parts = read_parts(config, need_secrets=not no_secrets)
    if as_json:
        found = {
            "usable": True,
            "version": parts.version,
            "functions": len(parts.functions),
            "problems": parts.warnings,
        }
        print_json(found)
        return
    print_problems(list(parts.warnings))
    loaded = parts.loaded.config
    counts = [
        f"{len(items)} {one if len(items) == 1 else many}"
        for items, one, many in (
            (loaded.issuers, "issuer", "issuers"),
            (loaded.targets, "target", "targets"),
            (parts.functions, "function", "functions"),
            (loaded.policies, "policy", "policies"),
        )
    ]
    typer.echo(f"{config}: good ({', '.join(counts)}; version {parts.version[:12]})")
