"""From the parts of a configuration to what the listener serves. Nothing is started here."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from funcgate.catalog import HttpCatalog
from funcgate.catalog.proto import ProtoCatalog
from funcgate.catalog.sql import SqlCatalog
from funcgate.config.assemble import read
from funcgate.config.grpc import reflecting
from funcgate.config.parts import CallableSpec, Options, Parts, Target, hash_key
from funcgate.config.shape.limits import UpstreamTlsSpec
from funcgate.config.shape.postgres import PostgresTargetSpec
from funcgate.config.shape.targets import GrpcTargetSpec, HttpTargetSpec
from funcgate.core.ports import Journal, Masker
from funcgate.core.problem import Problem, Unusable
from funcgate.gateway import Snapshot
from funcgate.identity.unrevoked import unrevoked
from funcgate.masking.columns import ColumnRules
from funcgate.protocols.grpc.cors import Cors
from funcgate.protocols.grpc.target import GrpcSite, GrpcTarget
from funcgate.protocols.http.pool import Pool
from funcgate.protocols.http.target import HttpPools, HttpSite, HttpTarget, UpstreamTls
from funcgate.protocols.http2.upstream import Http2Pool
from funcgate.protocols.postgres.roles import Roles
from funcgate.protocols.postgres.target import OauthLogin, PostgresSite, PostgresTarget, place_of
from funcgate.recording.contents import Contents
from funcgate.recording.contents.contents import MAX_IN_FLIGHT_BYTES
from funcgate.recording.retention.rules import Rules
from funcgate.registry import PROTOCOLS, ask_grpc


class StartFailed(Exception):
    """The gateway cannot start here and now. Says why and what to do; the configuration itself is sound."""


class Built(Struct, frozen=True, kw_only=True):
    """One version, ready to serve."""

    parts: Parts
    site: HttpSite
    grpc: GrpcSite
    postgres: PostgresSite

    @property
    def version(self) -> str:
        return self.parts.version

    @property
    def pools(self) -> set[Pool | Http2Pool]:
        """All that this version's targets are reached by."""
        return {target.pool for site in (self.site, self.grpc) for target in site.targets.values()}


def read_parts(
    path: Path,
    *,
    previous: Parts | None = None,
    need_secrets: bool = True,
    serving: bool = False,
    asking: bool = True,
    carrying: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Parts:
    """The configuration in `path`, put together. Raises `config.problems.Faulty` with every problem.

    `serving` makes the data folder and the key in it, when they are not there; a look at a configuration leaves no trace.
    Without `asking`, what targets say of themselves is what they said last. `carrying`: only the secrets that calls need.
    `environ` is where secrets are looked up, the process's own environment if None.
    """
    key = _make_key if serving else partial(hash_key, create=False)
    reflect = reflecting(ask_grpc, keep=serving) if asking else reflecting(_ask_nobody, keep=False)
    if previous is not None:
        known = previous.loaded.data_dir  # a new data_dir is refused later, and must not have been made by then
        options = Options(protocols=PROTOCOLS, hash_key=lambda _: key(known), previous=previous, reflect=reflect)
    else:
        options = Options(protocols=PROTOCOLS, hash_key=key, need_secrets=need_secrets, reflect=reflect)
    return read(path, replace(options, carrying=carrying, environ=environ))


def _ask_nobody(spec: GrpcTargetSpec, base: Path) -> bytes:
    raise Unusable([Problem(where=(), text="only the gateway's own process asks targets for their functions")])


def _make_key(data_dir: Path) -> bytes:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return hash_key(data_dir, create=True)


def build(parts: Parts, pools: HttpPools) -> Built:
    """The site for these parts. Raises `OSError` when a target's TLS files cannot be used."""
    snapshot = Snapshot(
        version=parts.version,
        identity=parts.issuers,
        policies=unrevoked(parts.policies, parts.issuers.revoked, parts.version),
        maskers=_maskers(parts).__getitem__,
        broker=parts.broker,
        functions=parts.functions,
        record_bytes=parts.journal.record_bytes,
    )
    targets, approval_url = parts.targets.items(), parts.approval_url
    http = {name: _http_target(one, pools) for name, one in targets if isinstance(one.spec, HttpTargetSpec)}
    grpc = {name: _grpc_target(one, pools) for name, one in targets if isinstance(one.spec, GrpcTargetSpec)}
    postgres = {
        name: _postgres_target(one, parts.masking.columns)
        for name, one in targets
        if isinstance(one.spec, PostgresTargetSpec)
    }
    return Built(
        parts=parts,
        site=HttpSite(snapshot, http, parts.hosts, approval_url),
        grpc=GrpcSite(snapshot, grpc, parts.hosts, approval_url, _cors(parts)),
        postgres=PostgresSite(snapshot, postgres, approval_url),
    )


def contents_of(parts: Parts, journal: Journal) -> Contents:
    """What stands before the journal, as the configuration says."""
    settings = parts.journal
    return Contents(
        journal,
        parts.loaded.data_dir,
        inline_bytes=settings.inline_bytes,
        key=encryption_key(parts),
        keep_free_bytes=settings.keep_free_bytes,
        max_in_flight_bytes=MAX_IN_FLIGHT_BYTES // parts.workers,  # of each worker, so of all together
        elsewhere_limit_s=settings.elsewhere_timeout_s,
        elsewhere_waiting_bytes=settings.elsewhere_waiting_bytes,
    )


def folders_of(parts: Parts) -> dict[str, Path]:
    """By target: where its content goes, if not into the data folder."""
    rules = Rules(parts.keeper.retention)
    return {target: Path(folder) for target in parts.targets if (folder := rules.folder(target))}


def encryption_key(parts: Parts) -> bytes | None:
    """The key of `journal.encryption`, for the record's content and for the state."""
    encryption = parts.journal.encryption
    return None if encryption is None else bytes.fromhex(encryption.reveal())


def _maskers(parts: Parts) -> dict[str, Masker]:
    """One masker for each function, made now: a call only looks it up. A function that is not there refuses the call."""
    found: dict[str, Masker] = {"": parts.masking.masker("")}
    for target in parts.targets.values():
        lenient = isinstance(target.spec, HttpTargetSpec) and target.spec.unmaskable == "pass"  # gRPC looks itself
        for name in target.catalogue.functions:
            found[name] = parts.masking.masker(name, unmaskable_pass=lenient)
    return found


def _http_target(target: Target, pools: HttpPools) -> HttpTarget:
    spec, tls, catalogue = target.spec, target.tls, target.catalogue
    if not isinstance(catalogue, HttpCatalog) or not isinstance(spec, HttpTargetSpec):
        raise TypeError(f"the protocol of {spec.name} has no HTTP catalogue")
    place = (spec.name, spec.url, _trust(tls), target.limits)
    return HttpTarget(
        name=spec.name,
        url=spec.url,
        catalog=catalogue,
        limits=target.limits,
        pool=pools.pool(*place) if target.http2 is None else pools.multiplexed(*place, *target.http2),
        forward=frozenset(name.lower().encode() for name in spec.forward_headers),
        unmaskable_pass=spec.unmaskable == "pass",
    )


def _grpc_target(target: Target, pools: HttpPools) -> GrpcTarget:
    spec, catalogue = target.spec, target.catalogue
    if not isinstance(catalogue, ProtoCatalog) or not isinstance(spec, GrpcTargetSpec) or target.http2 is None:
        raise TypeError(f"the protocol of {spec.name} has no catalogue of methods")
    return GrpcTarget(
        name=spec.name,
        url=spec.url,
        catalog=catalogue,
        limits=target.limits,
        pool=pools.multiplexed(spec.name, spec.url, _trust(target.tls), target.limits, *target.http2),
        forward=frozenset(name.lower().encode() for name in spec.forward_headers),
        unmaskable_pass=spec.unmaskable == "pass",
    )


def _postgres_target(target: Target, columns: Callable[[str], ColumnRules]) -> PostgresTarget:
    spec, catalogue = target.spec, target.catalogue
    if not isinstance(catalogue, SqlCatalog):
        raise TypeError(f"the protocol of {spec.name} has no SQL catalogue")
    context = _trust(target.tls).context() if spec.tls is not None else None
    if context is not None:
        context.set_alpn_protocols(["postgresql"])
    oauth = target.oauth
    place = place_of(spec.url, context, target.tls.server_name or "")
    return PostgresTarget(
        name=spec.name,
        url=spec.url,
        place=place,
        catalog=catalogue,
        limits=target.limits,
        columns=columns,
        budgets=target.budgets,
        roles=_roles(spec),
        oauth=None if oauth is None else OauthLogin(oauth.users, oauth.openid_configuration, oauth.scope),
    )


def _cors(parts: Parts) -> Cors | None:
    cors = parts.cors
    return None if cors is None else Cors.of(cors.origins, cors.headers, cors.expose, cors.max_age_s)


def _roles(spec: CallableSpec) -> Roles | None:
    role = spec.role if isinstance(spec, PostgresTargetSpec) else None
    if role is None:
        return None
    return Roles(role.groups, role.claim or "", frozenset(role.among), role.otherwise or "")


def _trust(tls: UpstreamTlsSpec) -> UpstreamTls:
    return UpstreamTls(ca=tls.ca or "", cert=tls.cert or "", key=tls.key or "", server_name=tls.server_name or "")
