"""What becomes of the record: its proof, its index, how long it is kept, where it is sent. Text into settings.

It judges and starts nothing. What would keep less than it says, or send a record in clear, is a problem.
"""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from funcgate.core.problem import Problem
from funcgate.core.secret import Secret
from funcgate.core.units import parse_time
from funcgate.recording.keeper.settings import (
    ForwardSettings,
    IndexSettings,
    KeeperSettings,
    KeepRule,
    OtlpSettings,
    ProofSettings,
    SyslogSettings,
    WebhookSettings,
)

from .folders import folder_of
from .load import Loaded
from .problems import did_you_mean
from .secrets import Secrets
from .settings import Address, JournalSettings, Reading, upstream_tls
from .shape.limits import UpstreamTlsSpec
from .shape.record import ForwardSpec, KeepSpec, OtlpSpec, ProofSpec, SyslogSpec, WebhookSpec

Where = tuple[str | int, ...]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
# C2SP signed-note: a key name has no space and no plus; the origin is the first line of each checkpoint.
_ORIGIN = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLASSES = ("content", "metadata", "decisions")
_COPIES = "expected file:PATH, s3://BUCKET/PREFIX or https://HOST/PATH"
_LONGEST_S = 1000 * 365 * 86400.0


def keeper_settings(
    loaded: Loaded, journal: JournalSettings, broken: Collection[str], secrets: Secrets, problems: list[Problem]
) -> KeeperSettings:
    """All that the keeper is told. Each problem stands at its place; with any, the result is only to be looked at.

    `broken` are targets that have problems of their own, ``*`` if there are some without a name."""
    config = loaded.config
    work = _Record(loaded, broken, secrets, problems)
    return KeeperSettings(
        data_dir=str(loaded.data_dir.absolute()),
        sync="always" if journal.sync == "always" else f"interval {journal.every_s * 1000:g}ms",
        keep_free_bytes=journal.keep_free_bytes,
        encryption=journal.encryption,
        proof=work.proof(config.proof),
        index=IndexSettings(enabled=config.index.enabled, text=config.index.text),
        retention=work.retention(config.retention),
        forward=work.forward(config.forward),
    )


class _Record:
    def __init__(self, loaded: Loaded, broken: Collection[str], secrets: Secrets, problems: list[Problem]) -> None:
        self._config = loaded.config
        self._base = loaded.base
        self._data_dir = loaded.data_dir
        self._broken = broken
        self._secrets = secrets
        self._problems = problems

    def _say(self, where: Where, text: str, *, warning: bool = False) -> None:
        self._problems.append(Problem(where=where, text=text, warning=warning))

    # -- proof

    def proof(self, spec: ProofSpec) -> ProofSettings:
        where = ("proof",)
        if spec.origin is not None and not _ORIGIN.fullmatch(spec.origin):
            self._say(
                (*where, "origin"), "an origin is a name such as acme.example/funcgate, without space and plus sign"
            )
        every_s = Reading(where, self._problems).time("every", spec.every)
        if every_s < 0.1:
            self._say((*where, "every"), "'every': a checkpoint more often than each 100ms proves nothing more")
        return ProofSettings(
            origin=spec.origin or "",
            every_s=every_s,
            key=self._key_file(spec.key) if spec.key is not None else "",
            copies=tuple(self._copy(copy, (*where, "copies", at)) for at, copy in enumerate(spec.copies)),
        )

    def _key_file(self, text: str) -> str:
        """The path; what is in the file is read by who signs."""
        if not text.startswith("file:") or not text.removeprefix("file:"):
            # Attack: none yet, a slip: the key itself in the configuration. It is not repeated here.
            self._say(("proof", "key"), "this must be file:PATH, an Ed25519 key in PEM (PKCS#8), never the key itself")
            return ""
        path = self._base / text.removeprefix("file:")
        if not path.is_file():
            made = f"openssl genpkey -algorithm ed25519 -out {path.name}"
            self._say(("proof", "key"), f"there is no file {path}; make one ({made}) or leave 'key' out")
        return str(path.absolute())

    def _copy(self, text: str, where: Where) -> str:
        scheme, colon, rest = text.partition(":")
        if not colon or scheme not in ("file", "s3", "http", "https"):
            known = did_you_mean(scheme, ("file", "s3", "https")) if colon else ""
            self._say(where, f"{_COPIES}{known}")
        elif scheme == "file":
            path = rest.removeprefix("//") if rest.startswith("///") else rest
            if not path or path.startswith("//"):
                self._say(where, _COPIES)
            return (self._base / path).absolute().as_uri()
        elif scheme == "s3":
            if not rest.startswith("//") or not _BUCKET.fullmatch(rest.removeprefix("//").split("/")[0]):
                self._say(where, _COPIES)
        else:
            self._check_url(text, where)
        return text

    def _check_url(self, text: str, where: Where) -> None:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            self._say(where, "this is not a URL")
            return
        if parts.scheme not in ("http", "https") or not host or port == 0 or any(ord(c) <= 32 for c in text):
            self._say(where, "expected https://HOST[:PORT]/PATH")
        elif "@" in parts.netloc:
            self._say(where, "a user or password does not belong in a URL")
        elif parts.scheme == "http" and not Address(host, 0).is_loopback:
            # Attack: read or change the record on its way.
            self._say(where, "http:// is only for a loopback address; use https://")

    # -- retention

    def retention(self, specs: list[KeepSpec]) -> tuple[KeepRule, ...]:
        known = [target.name for target in self._config.targets]
        taken: set[str] = set()
        rules = []
        for at, spec in enumerate(specs):
            where = ("retention", at)
            self._check_targets(spec, where, known, taken)
            rules.append(self._rule(spec, where))
        return tuple(rules)

    def _check_targets(self, spec: KeepSpec, where: Where, known: Collection[str], taken: set[str]) -> None:
        if not spec.targets:
            self._say((*where, "targets"), "a rule without targets does nothing; '*' is all of them")
        for at, name in enumerate(spec.targets):
            if name != "*" and name not in known and name not in self._broken and "*" not in self._broken:
                self._say((*where, "targets", at), f"there is no target '{name}'{did_you_mean(name, known)}")
            elif name in taken or "*" in taken:
                self._say((*where, "targets", at), f"an earlier rule is for '{name}' already: the first one counts")
        taken.update(spec.targets)

    def _rule(self, spec: KeepSpec, where: Where) -> KeepRule:
        given = {name: value for name in _CLASSES if (value := getattr(spec, name)) is not None}
        if not given and spec.where is None:
            self._say(where, "the rule says nothing: give content, metadata or decisions, or where")
        folder = folder_of(spec, where, self._base, self._data_dir, self._problems)
        kept: dict[str, float | None] = {}
        longest: float | None = None
        for name in reversed(_CLASSES):  # a class that is not named is kept as long as the line that it stands in
            if name in given:
                own = self._time(given[name], (*where, name))
                if longest is not None and own > longest:
                    self._say((*where, name), _too_long(name, spec))
                longest = own if longest is None else min(own, longest)
            kept[f"{name}_s"] = longest
        for name in ("content", "metadata"):
            if name in given and self._config.journal.encryption is None:
                text = (
                    f"{name} expires by deleting the key that it is encrypted with, so that the proof stays whole; "
                    "that needs journal.encryption"
                )
                self._say((*where, name), text)
        return KeepRule(targets=tuple(spec.targets), folder=folder, **kept)

    def _time(self, value: str | int | float, where: Where) -> float:
        try:
            seconds = parse_time(value)
        except ValueError as error:
            self._say(where, f"'{where[-1]}': {error}")
            return _LONGEST_S
        if not 0 < seconds <= _LONGEST_S:
            self._say(where, f"'{where[-1]}': this is out of range")
            return _LONGEST_S
        return seconds

    # -- forward

    def forward(self, specs: list[ForwardSpec]) -> tuple[ForwardSettings, ...]:
        names: set[str] = set()
        for at, spec in enumerate(specs):
            where = ("forward", at, "name")
            if not _NAME.fullmatch(spec.name):
                self._say(where, "a name has letters, digits, - and _ only, 63 at most")
            elif spec.name in names:
                # The name is the cursor's: two destinations with one cursor would each get half.
                self._say(where, f"there are two destinations named '{spec.name}'")
            names.add(spec.name)
        return tuple(self._destination(spec, ("forward", at)) for at, spec in enumerate(specs))

    def _destination(self, spec: ForwardSpec, where: Where) -> ForwardSettings:
        if isinstance(spec, SyslogSpec):
            return self._syslog(spec, where)
        self._check_url(spec.url, (*where, "url"))
        ca = self._ca(spec.ca, spec.url.startswith("https://"), where)
        if isinstance(spec, WebhookSpec):
            secret = self._secrets.read(spec.secret, (*where, "secret"))
            return WebhookSettings(name=spec.name, url=spec.url, secret=secret, ca=ca, content=spec.content)
        headers = self._headers(spec, where)
        return OtlpSettings(name=spec.name, url=spec.url, headers=headers, ca=ca, content=spec.content)

    def _headers(self, spec: OtlpSpec, where: Where) -> dict[str, Secret]:
        headers = {}
        for name, text in spec.headers.items():
            at = (*where, "headers", name)
            if not _FIELD.fullmatch(name):
                self._say(at, f"'{name}' is not a field name (RFC 9110, section 5.1)")
            headers[name] = self._secrets.read(text, at)
            if not headers[name].reveal().isprintable():
                # Attack: a line end in the secret writes a header of its own.
                self._say(at, "the secret holds characters that no header may hold")
        return headers

    def _syslog(self, spec: SyslogSpec, where: Where) -> SyslogSettings:
        scheme, slashes, rest = spec.address.partition("://")
        address = Address("127.0.0.1", 1)
        if not slashes or scheme not in ("tcp", "tls"):
            self._say((*where, "address"), "'address': expected tls://HOST:PORT or tcp://HOST:PORT")
        else:
            address = Reading(where, self._problems).address("address", rest.rstrip("/"))
            if scheme == "tcp" and not address.is_loopback:
                # Attack: read the record off the wire. A tunnel may carry it, so it is only a warning.
                self._say(
                    (*where, "address"), "the record goes in clear; use tls:// unless a tunnel carries it", warning=True
                )
        ca = self._ca(spec.ca, scheme == "tls", where)
        return SyslogSettings(
            name=spec.name, host=address.host, port=address.port, tls=scheme == "tls", ca=ca, format=spec.format,
            content=spec.content,
        )  # fmt: skip

    def _ca(self, ca: str | None, secured: bool, where: Where) -> str:
        if ca is None:
            return ""
        if secured:
            upstream_tls(UpstreamTlsSpec(ca=ca), self._base, where, self._problems)
        else:
            self._say((*where, "ca"), "the address is not tls:// or https://, so 'ca' would do nothing")
        return str((self._base / ca).absolute())


def _too_long(name: str, spec: KeepSpec) -> str:
    longer = next(other for other in _CLASSES[_CLASSES.index(name) + 1 :] if getattr(spec, other) is not None)
    return f"'{name}' is kept longer than '{longer}', which it stands in: make '{longer}' as long, or '{name}' shorter"
