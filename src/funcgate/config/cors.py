"""What the configuration says of pages that call from a browser. Refuses wildcards, and what no browser would ever send."""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from funcgate.core.problem import Problem

from .settings import Reading
from .shape import Config

_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?")
_DEFAULTS = {"http": ":80", "https": ":443"}
_NAME = re.compile(r"[a-z0-9-]+")
_WHERE = ("listen", "cors")


class CorsSettings(Struct, frozen=True):
    """`CorsSpec`, checked. Names in lower case."""

    origins: tuple[str, ...]
    headers: tuple[str, ...]
    expose: tuple[str, ...]
    max_age_s: int


def cors_of(config: Config, problems: list[Problem]) -> CorsSettings | None:
    """None when no page may."""
    spec = config.listen.cors
    if spec is None:
        return None
    problems += _faults(spec.origins)
    headers, expose = [name.lower() for name in spec.headers], [name.lower() for name in spec.expose]
    for key, names in (("headers", headers), ("expose", expose)):
        for at, name in enumerate(names):
            if not _NAME.fullmatch(name) or name in ("cookie", "origin"):
                problems.append(Problem(where=(*_WHERE, key, at), text=f"'{name}' is no field that a page may name"))
    max_age_s = int(Reading(_WHERE, problems).time("max_age", spec.max_age))
    return CorsSettings(tuple(spec.origins), tuple(headers), tuple(expose), max_age_s)


def _faults(origins: Sequence[str]) -> Iterator[Problem]:
    if not origins:
        yield Problem(where=(*_WHERE, "origins"), text="'origins': no page is named, so it would do nothing")
    for at, origin in enumerate(origins):
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            # Attack: any page in anybody's browser, with whatever token it gets hold of.
            text = f"'{origin}' is no origin: write https://HOST or https://HOST:PORT, in lower case, no * and no path"
            yield Problem(where=(*_WHERE, "origins", at), text=text)
        elif found[2] == _DEFAULTS[origin.partition(":")[0]]:
            yield Problem(where=(*_WHERE, "origins", at), text=f"browsers leave {found[2]} out; so it would do nothing")
