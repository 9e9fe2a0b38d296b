"""Several processes that carry calls: how many, what each of them may use of what the whole gateway may, and what does not go.

A limit of the whole is divided, rounded down, so that all together never use more than the file says.
"""

from collections.abc import Iterator

from msgspec import structs

from funcgate.core.problem import Problem

from .parts import Parts, Target
from .shape import Config

MOST_WORKERS = 64
Where = tuple[str | int, ...]


def check_workers(config: Config) -> Iterator[Problem]:
    """What several workers cannot share, and limits that are too small to be divided."""
    workers = config.listen.workers
    if not 1 <= workers <= MOST_WORKERS:
        yield Problem(
            where=("listen", "workers"), text=f"'workers': from 1 to {MOST_WORKERS}; one for each core is enough"
        )
    elif workers > 1:
        yield from _too_small(config, workers)
        yield from _unshared(config)


def share(parts: Parts) -> Parts:
    """What one of the workers may use. With one process the same parts; the version stays what it is."""
    if parts.workers == 1:
        return parts
    limits, journal, workers = parts.limits, parts.journal, parts.workers
    return structs.replace(
        parts,
        limits=structs.replace(
            limits,
            connections=_part(limits.connections, workers),
            http2_streams=_part(limits.http2_streams, workers),
        ),
        journal=structs.replace(journal, queue=_part(journal.queue, workers)),
        targets={name: _target(target, workers) for name, target in parts.targets.items()},
    )


def _target(target: Target, workers: int) -> Target:
    limits = structs.replace(target.limits, max_connections=_part(target.limits.max_connections, workers))
    return structs.replace(target, limits=limits)


def _part(limit: int, workers: int) -> int:
    return max(1, limit // workers)


def _too_small(config: Config, workers: int) -> Iterator[Problem]:
    """Limits of which some worker would have nothing."""
    listen = config.listen.limits
    found: list[tuple[Where, int]] = [
        (("listen", "limits", "connections"), listen.connections),
        (("listen", "limits", "http2", "all_streams"), listen.http2.all_streams),
        (("journal", "queue"), config.journal.queue),
    ]
    for index, spec in enumerate(config.targets):
        found.append((("targets", index, "limits", "max_connections"), spec.limits.max_connections))
    for where, limit in found:
        if 1 <= limit < workers:  # below 1 is told anyway
            text = f"'{where[-1]}' is divided among listen.workers ({workers}): at least {workers}, or fewer workers"
            yield Problem(where=where, text=text)


def _unshared(config: Config) -> Iterator[Problem]:
    for index, rule in enumerate(config.retention):
        if rule.where is not None:
            text = "only one process may store content elsewhere; leave 'where' out, or set listen.workers to 1"
            yield Problem(where=("retention", index, "where"), text=text)
