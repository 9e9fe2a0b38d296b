"""Reads the file: text, then values with their places, then the typed shape, and the digest that names it all.

It opens the files that the configuration names, and nothing else; it resolves no environment variable.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from funcgate.core.problem import Problem

from .fitting import LOST, Fitting
from .glance import read_file
from .grpc import NOTHING_REFLECTED, Reflect, Reflected, described_files, kept_file
from .problems import Faulty, Located
from .shape import Config
from .shape.targets import GrpcTargetSpec, HttpTargetSpec
from .source import Source, Where


class Loaded(Struct, frozen=True, kw_only=True):
    """One reading of the file. When `problems` holds an error, `config` may be looked at but not used.

    `version` is the SHA-256, in hex, over the file and the files that it names. `files` are all of these, `digests` the
    SHA-256 of each in hex ("" for one that is not there), `text` is the first one's. `lost` are the paths of values that
    had to be left out of `config`. `reflected` is what targets said of themselves; it counts as the file where it is kept.
    """

    path: Path
    source: Source
    config: Config
    version: str
    files: tuple[Path, ...]
    digests: tuple[str, ...]
    text: str
    problems: tuple[Located, ...]
    lost: tuple[Where, ...]
    fitting: Fitting
    others: dict[str, Source | None] = {}
    reflected: Reflected = NOTHING_REFLECTED

    @property
    def base(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.path.parent

    @property
    def data_dir(self) -> Path:
        return self.base / self.config.data_dir

    @property
    def state(self) -> Path:
        """The database of what needs transactions; gateways on one machine may share it."""
        return self.data_dir / "state.db" if self.config.state is None else self.base / self.config.state

    def place(self, problem: Problem) -> Located:
        """A part's problem with its file, line and column."""
        if problem.file:
            return self._place_elsewhere(problem)
        mark = self.source.locate(self.fitting.original(problem.where), problem.column)
        return self.source.problem(mark, problem.text, warning=problem.warning)

    def _place_elsewhere(self, problem: Problem) -> Located:
        """A problem in a file that the configuration names."""
        name = str(self.base / problem.file)
        if name not in self.others:
            try:
                self.others[name] = Source(name, Path(name).read_bytes())
            except (OSError, Faulty):
                self.others[name] = None
        source = self.others[name]
        if source is None or not problem.where:
            return Located(file=name, text=problem.text, warning=problem.warning)
        return source.problem(source.locate(problem.where, problem.column), problem.text, warning=problem.warning)


def load(path: Path, reflect: Reflect | None = None) -> Loaded:
    """Read the file. Raises `Faulty` when nothing can be made of it; else see `Loaded.problems`.

    `reflect` asks the targets that say themselves what their functions are; without it, they have none.
    """
    name = str(path)
    data = read_file(path)
    source = Source(name, data)
    fitting = Fitting(source)
    fitted = fitting.fit(Config)
    problems = [*source.problems, *fitting.problems]
    if fitted is LOST:
        raise Faulty(problems)
    try:
        config = msgspec.convert(fitted, Config)
    except msgspec.ValidationError as error:
        problems.append(Located(file=name, line=1, column=1, text=str(error)))
        raise Faulty(problems) from None
    files = (path, *named_files(config, path.parent))
    reflected = NOTHING_REFLECTED if reflect is None else reflect(config, path.parent, sound=not problems)
    digests = _digests(data, files[1:], _kept(config, path.parent, reflected))
    return Loaded(
        path=path, source=source, config=config, version=_version(digests), files=files,
        digests=digests, text=data.decode(),
        problems=tuple(problems), lost=tuple(fitting.lost), fitting=fitting, reflected=reflected,
    )  # fmt: skip


def named_files(config: Config, base: Path) -> tuple[Path, ...]:
    """The files that decide together with the configuration, in the order in which it names them."""
    found: list[Path] = []
    for target in config.targets:
        if isinstance(target, HttpTargetSpec) and not isinstance(target.functions, list):
            found.append(base / target.functions.openapi)
        elif isinstance(target, GrpcTargetSpec):
            found += described_files(target, base, base / config.data_dir)
    return tuple(dict.fromkeys(found))


def version_now(loaded: Loaded) -> str:
    """What the version would be if the files were read now; "" when the first of them is gone."""
    kept = _kept(loaded.config, loaded.base, loaded.reflected)
    try:
        return _version(_digests(loaded.path.read_bytes(), loaded.files[1:], kept))
    except OSError:
        return ""


def _kept(config: Config, base: Path, reflected: Reflected) -> Mapping[Path, bytes]:
    """What targets said of themselves, by the file where it is kept."""
    return {kept_file(name, base / config.data_dir): data for name, data in reflected.found.items()}


def _digests(data: bytes, named: tuple[Path, ...], kept: Mapping[Path, bytes]) -> tuple[str, ...]:
    found = [hashlib.sha256(data).hexdigest()]
    for path in named:
        try:
            content = kept[path] if path in kept else path.read_bytes()
            found.append(hashlib.sha256(content).hexdigest())
        except OSError:
            found.append("")
    return tuple(found)


def _version(digests: tuple[str, ...]) -> str:
    """SHA-256 over the digests of the files, in order: no file's end can pass for another's beginning."""
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(bytes.fromhex(digest) or b"absent")
    return whole.hexdigest()
