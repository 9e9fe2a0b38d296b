"""Puts the parts together: issuers, catalogues, policies, masking, credentials. All of them, or the list of what is wrong.

It starts nothing and opens no connection. What depends on something broken is not judged, so that one slip is told once.
"""

import os
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from funcgate.core.budget import Budget
from funcgate.core.function import Function
from funcgate.core.problem import Problem, Unusable
from funcgate.credentials import Broker
from funcgate.credentials.spec import faults_of
from funcgate.identity import Issuers
from funcgate.masking import MaskingPlan, compile_rules
from funcgate.policy import PolicySet, compile_policies

from .channels import channels
from .console import approval_url, sign_in
from .cors import cors_of
from .grpc import check_grpc, redacting_rules
from .http2 import check_http2, speaks_http2, target_http2
from .load import Loaded, load, version_now
from .parts import CallableSpec, Catalogue, LoadFunctions, Options, Parts, Target, Where
from .postgres import (
    Oauth,
    budgets_of,
    check_postgres,
    check_role,
    oauth_of,
    of_databases,
    postgres_address,
    session_policies,
    session_rule,
)
from .presets import preset_policies
from .problems import Faulty, Located
from .record import keeper_settings
from .secrets import Secrets
from .settings import Address, Reading, journal_settings, listen_limits, server_tls, target_limits, upstream_tls
from .shape.limits import UpstreamTlsSpec
from .shape.postgres import PostgresTargetSpec
from .shape.targets import GrpcTargetSpec, HttpTargetSpec, TargetSpec
from .whole import check_approval_url, check_effect, check_forwarded, check_reach, check_roles, read_hosts
from .workers import check_workers

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

T = TypeVar("T")


def read(path: Path, options: Options) -> Parts:
    """The parts, from the file. Raises `Faulty` with every problem that was found.

    The files that are named are read again by the parts: should one change meanwhile, the digest would name something
    that nobody serves, so it is taken twice and must be the same.
    """
    for _ in range(3):
        parts = assemble(load(path, options.reflect), options)
        if version_now(parts.loaded) == parts.version:
            return parts
    raise Faulty([Located(file=str(path), text="the files of the configuration keep changing while they are read")])


def assemble(loaded: Loaded, options: Options) -> Parts:
    """The parts, from a file that was read. Raises `Faulty` with every problem that was found."""
    work = _Assembly(loaded, options)
    parts = work.parts()
    found = [*loaded.problems, *map(loaded.place, work.problems)]
    if parts is None or any(not problem.warning for problem in found):
        raise Faulty(found)
    return structs.replace(parts, warnings=tuple(sorted(set(found))))


class _Assembly:
    """One putting together. Each step adds to `problems`; what lacks something that it needs is left out."""

    def __init__(self, loaded: Loaded, options: Options) -> None:
        self.problems: list[Problem] = []
        self._loaded = loaded
        self._config = loaded.config
        self._options = options
        self._base = loaded.base
        self._broken = self._lost_targets()

    def parts(self) -> Parts | None:
        """Everything, or None when some of it could not be made."""
        config = self._config
        self.problems += [
            *check_roles(config),
            *check_approval_url(config),
            *check_workers(config),
            *check_effect(config, {str(where[0]) for where in self._loaded.lost if where}),
        ]
        self.problems += self._loaded.reflected.problems
        targets = self._targets()
        functions = {name: f for target in targets.values() for name, f in target.catalogue.functions.items()}
        calls, console, postgres = self._addresses()
        made: dict[str, Any] = {
            "server_tls": self._server_tls("h2", "http/1.1"),
            "postgres_tls": self._server_tls("postgresql") if postgres is not None else None,
            "limits": listen_limits(config.listen.limits, ("listen", "limits"), self.problems),
            **self._record(),
            "issuers": self._issuers(),
            "broker": self._broker(targets),
            "policies": self._policies(functions),
            "masking": self._masking(
                functions, targets, max((t.limits.max_response for t in targets.values()), default=1)
            ),
            "hosts": read_hosts(config, self.problems),
            "cors": cors_of(config, self.problems),
        }
        self.problems += check_reach(config, self._broken)
        if any(made[name] is None for name in ("issuers", "broker", "policies", "masking")):
            return None
        return Parts(
            loaded=self._loaded, calls=calls, console=console, postgres=postgres, targets=targets, functions=functions,
            warnings=(), workers=config.listen.workers, **made,
        )  # fmt: skip

    def _say(self, where: Where, text: str, *, warning: bool = False) -> None:
        self.problems.append(Problem(where=where, text=text, warning=warning))

    def _try(self, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except Unusable as unusable:
            self.problems += unusable.problems
            return None

    def _lost_targets(self) -> set[str]:
        """Names of the targets that were left out; ``*`` when one of them had no name."""
        raw = self._loaded.source.tree.get("targets")
        items = raw if isinstance(raw, list) else []
        lost = {where[1] for where in self._loaded.lost if len(where) == 2 and where[0] == "targets"}
        names = {item.get("name") if isinstance(item, dict) else None for i, item in enumerate(items) if i in lost}
        if ("targets",) in self._loaded.lost:
            names.add(None)
        return {name if isinstance(name, str) else "*" for name in names}

    def _addresses(self) -> tuple[Address, Address, Address | None]:
        listen = self._config.listen
        read = Reading(("listen",), self.problems)
        calls, console = read.address("calls", listen.calls), read.address("console", listen.console)
        if calls == console and calls.port:
            self._say(("listen", "console"), "calls and console need an address each")
        if not calls.is_loopback and listen.tls is None:
            # Attack: read the callers' tokens off the wire. A proxy in front may do TLS, so it is only a warning.
            self._say(
                ("listen", "calls"), "tokens would arrive in clear; add 'tls' unless a proxy does it", warning=True
            )
        return calls, console, postgres_address(self._config, read, self.problems)

    def _targets(self) -> dict[str, Target]:
        targets: dict[str, Target] = {}
        for index, spec in enumerate(self._config.targets):
            where = ("targets", index)
            if not _NAME.fullmatch(spec.name):
                self._broken.add("*")
                self._say((*where, "name"), "a target's name has letters, digits, - and _ only, 63 at most")
            if spec.name in targets:
                self._say((*where, "name"), f"there are two targets named '{spec.name}'")
            target = self._target(spec, where)
            if target is None:
                self._broken.add(spec.name)
            else:
                targets.setdefault(spec.name, target)
        return targets

    def _target(self, spec: TargetSpec, where: Where) -> Target | None:
        """The target; with problems of its settings, it still tells which functions there are."""
        protocol = str(spec.__struct_config__.tag)
        load_functions = self._options.protocols.get(protocol)
        if load_functions is None or not isinstance(spec, HttpTargetSpec | GrpcTargetSpec | PostgresTargetSpec):
            self._say((*where, "protocol"), f"protocol {protocol} is not supported yet")
            return None
        budgets: tuple[Budget, ...] = ()
        oauth: Oauth | None = None
        if isinstance(spec, PostgresTargetSpec):
            self.problems += [*check_postgres(spec, where), *check_role(spec, where)]
            budgets = budgets_of(spec, where, self.problems)
            oauth = oauth_of(self._config, spec, where, self.problems)
        else:
            self._check_web(spec, where)
        tls = UpstreamTlsSpec()
        if spec.tls is not None and not spec.url.startswith("http:"):
            tls = upstream_tls(spec.tls, self._base, (*where, "tls"), self.problems)
        limits = target_limits(spec.limits, (*where, "limits"), self.problems)
        self.problems += check_http2(spec, where)
        http2 = target_http2(spec.limits, limits, (*where, "limits"), self.problems) if speaks_http2(spec) else None
        functions = self._try(lambda: self._functions(spec, load_functions, (*where, "functions")))
        if functions is None:
            return None
        self.problems += functions.warnings
        return Target(spec=spec, catalogue=functions, limits=limits, tls=tls, budgets=budgets, http2=http2, oauth=oauth)

    def _functions(self, spec: CallableSpec, load_functions: LoadFunctions, where: Where) -> Catalogue | None:
        if not isinstance(spec, GrpcTargetSpec):
            return load_functions(spec.name, spec.functions, self._base, where)
        self.problems += (found := [*check_grpc(spec, where[:-1])])
        if found or (spec.functions.reflection and spec.name not in self._loaded.reflected.found):
            return None
        reflected = self._loaded.reflected.found.get(spec.name)
        return load_functions(spec.name, spec.functions, self._base, where, reflected)

    def _check_web(self, spec: HttpTargetSpec | GrpcTargetSpec, where: Where) -> None:
        Reading(where, self.problems).url("url", spec.url)
        if spec.tls is not None and not spec.url.startswith("https:"):
            self._say((*where, "tls"), "the target's url is not https, so 'tls' would do nothing")
        if spec.credential is not None and spec.credential.type == "password":
            self._say(
                (*where, "credential", "type"), "type password is for databases; this target takes bearer, basic …"
            )
        self.problems += check_forwarded(spec.forward_headers, (*where, "forward_headers"))

    def _server_tls(self, *protocols: str) -> ssl.SSLContext | None:
        tls = self._config.listen.tls
        if tls is None:
            return None
        found: list[Problem] = []
        made = server_tls(self._base / tls.cert, self._base / tls.key, ("listen", "tls"), found, *protocols)
        self.problems += [problem for problem in found if problem not in self.problems]
        return made

    def _record(self) -> dict[str, Any]:
        options = self._options
        secrets = Secrets(self._base, self.problems, needed=options.need_secrets, environ=options.environ)
        others = Secrets(self._base, self.problems, needed=options.need_secrets and not options.carrying)
        spec = self._config.journal
        at = spec.encryption
        key = secrets.key(at.key, ("journal", "encryption", "key")) if at is not None else None
        journal = journal_settings(spec, key, ("journal",), self.problems)
        keeper = keeper_settings(self._loaded, journal, self._broken, others, self.problems)
        return {
            "channels": channels(self._config, others, self.problems),
            "sign_in": sign_in(self._config, others, self.problems),
            "approval_url": approval_url(self._config),
            "journal": journal,
            "keeper": keeper,
        }

    def _issuers(self) -> Issuers | None:
        previous = self._options.previous
        return self._try(
            lambda: Issuers(self._config.issuers, base=self._base, previous=previous.issuers if previous else None)
        )

    def _broker(self, targets: Mapping[str, Target]) -> Broker | None:
        names = [spec.name for spec in self._config.targets]
        specs = {name: (t.spec.credential, ("targets", names.index(name), "credential")) for name, t in targets.items()}
        if not self._options.need_secrets:
            for spec, where in specs.values():
                self.problems += faults_of(spec, where) if spec is not None else []
            specs = {name: (None, where) for name, (_, where) in specs.items()}
        environ = os.environ if self._options.environ is None else self._options.environ
        broker = self._try(lambda: Broker(specs, base=self._base, environ=environ))
        self.problems += broker.warnings if broker is not None else []
        return broker

    def _policies(self, functions: Mapping[str, Function]) -> PolicySet | None:
        chosen = self._judged([policy.functions for policy in self._config.policies])
        specs = [self._config.policies[index] for index in chosen]
        specs += session_policies(specs, self._config.targets, functions)
        specs += preset_policies([spec for spec in self._config.targets if spec.name not in self._broken])
        made = self._renumbered(
            "policies", chosen, lambda: compile_policies(specs, functions, self._loaded.version, ("policies",))
        )
        self.problems += made.warnings if made is not None and len(chosen) == len(self._config.policies) else ()
        return made

    def _masking(
        self, functions: Mapping[str, Function], targets: Mapping[str, Target], limit: int
    ) -> MaskingPlan | None:
        chosen = self._judged([rule.functions for rule in self._config.masking])
        rules = [session_rule(self._config.masking[i], self._config.targets, functions) for i in chosen]
        rules += redacting_rules(target.catalogue for target in targets.values())
        key = self._options.hash_key(self._loaded.data_dir)
        rows = {name for name, function in functions.items() if function.target in of_databases(self._config.targets)}
        return self._renumbered(
            "masking",
            chosen,
            lambda: compile_rules(
                rules, list(functions), where=("masking",), hash_key=key, decoded_limit=limit, rows=rows
            ),
        )

    def _judged(self, patterns: list[list[str]]) -> list[int]:
        """Which items can be judged: those that name no broken target."""
        return [i for i, of_one in enumerate(patterns) if not any(self._names_broken(pattern) for pattern in of_one)]

    def _names_broken(self, pattern: str) -> bool:
        head = pattern.split(".")[0]
        return bool(self._broken) and ("*" in head or head in self._broken or "*" in self._broken)

    def _renumbered(self, section: str, chosen: list[int], make: Callable[[], T]) -> T | None:
        """Make a part of some items of a section; its problems name them by their place in the section."""
        before = len(self.problems)
        made = self._try(make)
        for at, problem in enumerate(self.problems[before:], before):
            if len(problem.where) > 1 and problem.where[0] == section and isinstance(problem.where[1], int):
                index = problem.where[1]
                where = (section, chosen[index], *problem.where[2:]) if index < len(chosen) else (section,)
                self.problems[at] = structs.replace(problem, where=where)
        return made
