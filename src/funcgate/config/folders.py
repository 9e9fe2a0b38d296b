"""Where content of some targets shall lie, if not in the data folder. Text into a folder; it looks, and makes nothing.

It refuses what cannot be true: the lines of all targets share the journal's files, so those of one cannot lie elsewhere.
"""

import os
from pathlib import Path

from funcgate.core.problem import Problem

from .shape.record import KeepSpec, WhereSpec

Where = tuple[str | int, ...]

_ELSEWHERE = (
    "of one target cannot lie elsewhere: the lines of all targets share the journal's files, and one tree proves them whole. "
    "'data_dir' says where they lie; for a target of its own place run a gateway of its own"
)


def folder_of(spec: KeepSpec, where: Where, base: Path, data_dir: Path, problems: list[Problem]) -> str:
    """The absolute path, "" for the data folder."""
    given, at = spec.where, (*where, "where")
    if given is None:
        return ""
    if isinstance(given, WhereSpec):
        for name in ("metadata", "decisions"):
            if getattr(given, name) is not None:
                problems.append(Problem(where=(*at, name), text=f"{name} {_ELSEWHERE}"))
        if given.content is None:
            if given == WhereSpec():
                problems.append(Problem(where=at, text="'where' says nothing: give content: FOLDER"))
            return ""
        at = (*at, "content")
    text = given if isinstance(given, str) else given.content or ""
    if not text.strip() or "\0" in text or "://" in text:
        problems.append(Problem(where=at, text=f"'{at[-1]}': expected the path of a folder"))
        return ""
    folder = Path(os.path.normpath((base / text).absolute()))
    data = Path(os.path.normpath(data_dir.absolute()))
    if folder == data or data in folder.parents or folder in data.parents:
        said = (
            "the folder must not be in data_dir, nor data_dir in it: all that is not said to lie elsewhere lies there"
        )
        problems.append(Problem(where=at, text=said))
    elif not folder.is_dir():
        said = (
            f"there is no folder {folder}: calls of these targets are refused until there is. funcgate makes none there"
        )
        problems.append(Problem(where=at, text=said, warning=True))
    return str(folder)
