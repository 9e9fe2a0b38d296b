"""Policies that come with a target, on top of those in the file. They only deny: what nobody allows stays denied without them."""

from collections.abc import Iterator, Sequence

from funcgate.catalog.sql import STATEMENTS
from funcgate.policy import PolicySpec

from .shape.postgres import PostgresTargetSpec
from .shape.targets import TargetSpec


def preset_policies(targets: Sequence[TargetSpec]) -> Iterator[PolicySpec]:
    """For each target with ``preset: guarded``: nobody runs what reaches beyond the database or hides from its record."""
    for target in targets:
        if isinstance(target, PostgresTargetSpec) and target.preset == "guarded":
            yield PolicySpec(
                name=f"guarded ({target.name})",
                effect="deny",
                functions=[f"{target.name}.{verb}" for verb in STATEMENTS],
                principals=["*"],
                when="args.dangerous != []",
            )
