"""Target to Lease: the adapter of the port `Broker`. Leases are made when a secret is read, not when one is lent.

Keeps no environment and no plain text; a secret that cannot be read now is refused now.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.problem import Problem, Unusable
from funcgate.core.refusal import Code, Refused

from .kinds import fault_of, lease_for
from .sources import SecretFile, Unreadable, from_environment
from .spec import CredentialSpec, Where, faults_of, place_of

CHECK_EVERY_S = 1.0


class Broker:
    """Lends each target's credential. `warnings` are problems that do not keep the configuration from use."""

    def __init__(
        self,
        specs: Mapping[str, tuple[CredentialSpec | None, Where]],
        *,
        base: Path,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`specs` by target, each with its place in the configuration. `base` is the folder that file names are
        relative to; `clock` counts seconds. Raises `Unusable` with everything that is wrong or missing."""
        self.warnings: list[Problem] = []
        self._fixed: dict[str, Lease] = {}
        self.at_hand: Callable[[str], Lease | None] = self._fixed.get
        self._files: dict[str, FileCredential] = {}
        problems: list[Problem] = []
        for target, (spec, where) in specs.items():
            if spec is None:
                self._fixed[target] = NO_LEASE
            else:
                problems += self._add(target, spec, where, base, environ, clock)
        del environ  # a traceback that shows local variables must not show the secrets in it
        if problems:
            raise Unusable(problems)

    async def lease(self, target: str) -> Lease:
        """See `core.ports.Broker`."""
        lease = self._fixed.get(target)
        return self.lend(target) if lease is None else lease

    def lend(self, target: str) -> Lease:
        """The same for who cannot wait."""
        lease = self._fixed.get(target)
        if lease is not None:
            return lease
        found = self._files.get(target)
        if found is None:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=f"nothing is known of a credential of {target}")
        return found.lease()

    def _add(
        self,
        target: str,
        spec: CredentialSpec,
        where: Where,
        base: Path,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> list[Problem]:
        place = place_of(spec.secret)
        faults = faults_of(spec, where)
        if faults or place is None:
            return faults
        at = (*where, "secret")
        if place.kind == "env":
            secret = from_environment(place.name, environ)
            if secret is None:
                return [Problem(where=at, text=f"the environment variable {place.name} is not set")]
            if why := fault_of(secret, spec):
                return [Problem(where=at, text=f"the secret in the environment variable {place.name} {why}")]
            self._fixed[target] = lease_for(secret, spec)
            return []
        file = SecretFile(base / place.name)
        self._files[target] = credential = FileCredential(target, file, spec, clock)
        if exposure := file.exposure():
            text = f"the secret file {file.path} {exposure}: take the permission away (chmod o-rw)"
            self.warnings.append(Problem(where=at, text=text, warning=True))
        return [Problem(where=at, text=credential.fault)] if credential.fault else []


class FileCredential:
    """The credential of one target, from a file. Looks at the file at most once in `CHECK_EVERY_S` seconds.

    `fault` says why there is no lease now, "" if there is one.
    """

    def __init__(self, target: str, file: SecretFile, spec: CredentialSpec, clock: Callable[[], float]) -> None:
        self.fault = ""
        self._target = target
        self._file = file
        self._spec = spec
        self._clock = clock
        self._lease = NO_LEASE
        self._check_at = clock() + CHECK_EVERY_S
        self._read()

    def lease(self) -> Lease:
        """The lease as of at most a second ago. Raises `Refused(target.unreachable)`."""
        now = self._clock()
        if now >= self._check_at:
            self._check_at = now + CHECK_EVERY_S
            if self._file.changed():
                self._read()
        if self.fault:
            # A call without its credential, or with one that was taken away, must not reach the target.
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=f"credential of {self._target}: {self.fault}")
        return self._lease

    def _read(self) -> None:
        self._lease = NO_LEASE
        try:
            secret = self._file.read()
        except Unreadable as why:
            self.fault = f"the secret file {why}"
            return
        why_not = fault_of(secret, self._spec)
        self.fault = f"the secret in the file {self._file.path} {why_not}" if why_not else ""
        if not why_not:
            self._lease = lease_for(secret, self._spec)
