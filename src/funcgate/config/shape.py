"""The whole file as typed, frozen structs: which keys there are, of which kind, with which defaults.

Only the shape. What the values mean is judged by the parts, and put together in assemble.py.
"""

from typing import Any, Literal

from msgspec import Struct, field

from funcgate.approval.spec import ChannelSpec
from funcgate.catalog import FunctionSpec, OpenApiSpec
from funcgate.catalog.proto import ProtoSpec
from funcgate.catalog.sql import SqlFunctionsSpec
from funcgate.credentials import CredentialSpec
from funcgate.identity import IssuerSpec
from funcgate.masking import RuleSpec
from funcgate.policy import PolicySpec

from .glance import DEFAULT_DATA_DIR

Size = str | int
Time = str | int | float


class ServerTlsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway shows to its callers: PEM files, the certificate with its chain."""

    cert: str
    key: str


class UpstreamTlsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a target is trusted (`ca`, `server_name`), and what the gateway shows to it (`cert`, `key`). PEM files."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


class Http2FramesSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the peer of one HTTP/2 connection may do, caller or target. The counts from `resets` on are of frames in `per`."""

    ping_after: Time = "15s"
    ping_timeout: Time = "10s"
    unread: Size = "2MiB"
    frame: Size = "16KiB"
    continuations: int = 16
    per: Time = "10s"
    resets: int = 200
    settings: int = 50
    pings: int = 200
    empty: int = 200
    priorities: int = 500
    updates: int = 1000
    unknown: int = 200


class Http2Spec(Http2FramesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one caller's HTTP/2 connection may use, and all of them (`all_streams`)."""

    streams: int = 100
    all_streams: int = 2000
    stream_window: Size = "128KiB"
    connection_window: Size = "1MiB"


class TargetHttp2Spec(Http2FramesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one HTTP/2 connection to a target may use. `connection_window` is as much as all its streams' if nothing is said."""

    stream_window: Size = "512KiB"
    connection_window: Size | None = None
    headers: int = 100
    header_bytes: Size = "64KiB"
    interim: int = 32
    idle_timeout: Time = "60s"
    max_age: Time = "1h"
    frame_timeout: Time = "10s"
    write_timeout: Time = "30s"


class ListenLimitsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one caller's connection may use, and how long each phase may last."""

    connections: int = 1000
    headers: int = 100
    header_bytes: Size = "32KiB"
    request_line: Size = "8KiB"
    pipelined: int = 16
    header_timeout: Time = "10s"
    body_timeout: Time = "30s"
    idle_timeout: Time = "75s"
    write_timeout: Time = "30s"
    tls_handshake_timeout: Time = "10s"
    drain_timeout: Time = "30s"
    http2: Http2Spec = Http2Spec()


class CorsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pages of which origins may call gRPC-Web from a browser; `headers` that they may send and `expose` that they may read,
    beside the usual ones."""

    origins: list[str]
    headers: list[str] = []
    expose: list[str] = []
    max_age: Time = "10m"


class ListenSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens: ``HOST:PORT``, ``[IPv6]:PORT``; port 0 takes any that is free."""

    calls: str = "127.0.0.1:8080"
    console: str = "127.0.0.1:8090"
    postgres: str | None = None
    mysql: str | None = None
    tls: ServerTlsSpec | None = None
    limits: ListenLimitsSpec = ListenLimitsSpec()
    cors: CorsSpec | None = None


class EncryptionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the key is: ``env:NAME`` or ``file:PATH``."""

    key: str


class JournalSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an entry counts as written (after its own sync, or after the last one in an interval), what is recorded and how
    it is kept. `encryption` is the key of the content at rest; `elsewhere_timeout` how long a folder of `retention` may take
    to store content, `elsewhere_waiting` how much may wait for one."""

    sync: Literal["always", "interval"] = "always"
    every: Time = "5ms"
    segment: Size = "64MiB"
    keep_free: Size = "64MiB"
    reserve: Size = "8MiB"
    queue: int = 20_000
    inline: Size = "64KiB"
    record: Size = "32MiB"
    encryption: EncryptionSpec | None = None
    elsewhere_timeout: Time = "10s"
    elsewhere_waiting: Size = "64MiB"


class ProofSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the record proves that it is whole: who signs it, how often, and where the checkpoints go besides."""

    origin: str | None = None
    every: Time = "10s"
    key: str | None = None
    copies: list[str] = []


class IndexSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search index; `text` says whether it holds the words of arguments and answers."""

    enabled: bool = True
    text: bool = True


class WhereSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each class lies: a folder. Only content can lie elsewhere; the others are here to be refused with a reason."""

    content: str | None = None
    metadata: str | None = None
    decisions: str | None = None


class KeepSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long some targets' content, metadata and decisions are kept, and where. Nothing said: as long as the next of the
    three, and decisions for ever; in the data folder. A folder alone is that of the content."""

    targets: list[str]
    content: Time | None = None
    metadata: Time | None = None
    decisions: Time | None = None
    where: str | WhereSpec | None = None


class SyslogSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="syslog"):
    """RFC 5424 over TCP (``tcp://HOST:PORT``) or TLS (``tls://HOST:PORT``, RFC 5425)."""

    name: str
    address: str
    ca: str | None = None
    format: Literal["rfc5424", "cef", "ocsf"] = "rfc5424"
    content: bool = False


class WebhookSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="webhook"):
    """Signed batches over HTTP."""

    name: str
    url: str
    secret: str
    ca: str | None = None
    content: bool = False


class OtlpSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="otlp"):
    """OpenTelemetry logs over HTTP. The values of `headers` are secrets."""

    name: str
    url: str
    headers: dict[str, str] = {}
    ca: str | None = None
    content: bool = False


ForwardSpec = SyslogSpec | WebhookSpec | OtlpSpec


class TargetLimitsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call of a target may use. `max_streams` (100) and `http2` are for targets that speak HTTP/2."""

    max_request: Size = "1MiB"
    max_response: Size = "16MiB"
    timeout: Time = "30s"
    connect_timeout: Time = "5s"
    first_byte_timeout: Time = "30s"
    idle_timeout: Time = "30s"
    max_connections: int = 256
    max_streams: int | None = None
    http2: TargetHttp2Spec | None = None
    max_wait: Time = "30s"


class StreamLimitsSpec(TargetLimitsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call may use. A stream has `stream_timeout` for `timeout`, and `stream_idle_timeout` for `idle_timeout`."""

    stream_timeout: Time = "24h"
    stream_idle_timeout: Time = "10m"
    end_with_token: bool = True


class HttpTargetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="protocol", tag="http"):
    """A target that speaks HTTP/1.1, or with `http2` HTTP/2: over TLS by ALPN, else with prior knowledge."""

    name: str
    url: str
    http2: bool = False
    functions: OpenApiSpec | list[FunctionSpec]
    credential: CredentialSpec | None = None
    limits: StreamLimitsSpec = StreamLimitsSpec()
    tls: UpstreamTlsSpec | None = None
    hosts: list[str] = []
    forward_headers: list[str] = []
    unmaskable: Literal["refuse", "pass"] = "refuse"


class LaterTargetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target of a protocol that this version reads and does not carry yet."""

    name: str
    url: str = ""
    functions: Any = None
    credential: dict[str, Any] | None = None
    limits: TargetLimitsSpec = TargetLimitsSpec()
    tls: UpstreamTlsSpec | None = None
    hosts: list[str] = []
    unmaskable: Literal["refuse", "pass"] = "refuse"


class GrpcTargetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="protocol", tag="grpc"):
    """A target that speaks gRPC: over HTTP/2 in clear (``http://``) or over TLS."""

    name: str
    url: str
    functions: ProtoSpec
    credential: CredentialSpec | None = None
    limits: StreamLimitsSpec = StreamLimitsSpec()
    tls: UpstreamTlsSpec | None = None
    hosts: list[str] = []
    forward_headers: list[str] = []
    unmaskable: Literal["refuse", "pass"] = "refuse"


class PostgresLimitsSpec(TargetLimitsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one statement may use. `max_rows` is of its answer."""

    max_rows: int = 1_000_000


class BudgetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rows and bytes of answers each of some principals may have in any time of that length."""

    principals: list[str]
    rows: int | None = None
    bytes: Size | None = None
    per: Time = "1h"


class OauthSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which user names are asked for their token by OAUTHBEARER; `issuer` is one of `issuers`, the only one if there is one."""

    users: list[str] = field(default_factory=lambda: ["oauth"])
    issuer: str | None = None
    scope: str = ""


class RoleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database's role that a caller's statements run with: by a claim that names one of `among`, else by the first group of
    the caller's in `groups`, else `otherwise`. Who has none does not get in."""

    claim: str | None = None
    among: list[str] = []
    groups: dict[str, str] = {}
    otherwise: str | None = None


class PostgresTargetSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="protocol", tag="postgres"
):
    """A PostgreSQL database. With `tls`, and only then, the gateway talks TLS to it."""

    name: str
    url: str
    functions: SqlFunctionsSpec | None = None
    credential: CredentialSpec | None = None
    limits: PostgresLimitsSpec = PostgresLimitsSpec()
    budgets: list[BudgetSpec] = []
    tls: UpstreamTlsSpec | None = None
    preset: Literal["guarded", "none"] = "guarded"
    oauth: OauthSpec | None = None
    role: RoleSpec | None = None


class MysqlTargetSpec(LaterTargetSpec, frozen=True, kw_only=True, tag_field="protocol", tag="mysql"):
    pass


class McpTargetSpec(LaterTargetSpec, frozen=True, kw_only=True, tag_field="protocol", tag="mcp"):
    pass


TargetSpec = HttpTargetSpec | GrpcTargetSpec | PostgresTargetSpec | MysqlTargetSpec | McpTargetSpec


class LogsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes to standard error. `calls` says whether calls are logged too: none, those that were refused, or all."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    calls: Literal["none", "refused", "all"] = "none"


class SignInSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people sign in at the console: with OpenID Connect, at one of `issuers`, as its client. `public_url` is what browsers
    reach the console at. Who does nothing for `idle` signs in again; at `longest`, everybody does."""

    issuer: str
    client_id: str
    public_url: str
    client_secret: str | None = None
    authorize_url: str | None = None
    token_url: str | None = None
    scopes: list[str] = field(default_factory=lambda: ["openid", "profile", "email"])
    idle: Time = "30m"
    longest: Time = "8h"


class ConsoleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pages for people."""

    sign_in: SignInSpec | None = None


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    listen: ListenSpec = ListenSpec()
    data_dir: str = DEFAULT_DATA_DIR
    state: str | None = None
    journal: JournalSpec = JournalSpec()
    proof: ProofSpec = ProofSpec()
    index: IndexSpec = IndexSpec()
    retention: list[KeepSpec] = []
    forward: list[ForwardSpec] = []
    issuers: list[IssuerSpec] = []
    roles: dict[str, list[str]] = {}
    targets: list[TargetSpec] = []
    policies: list[PolicySpec] = []
    masking: list[RuleSpec] = []
    channels: list[ChannelSpec] = []
    logs: LogsSpec = LogsSpec()
    console: ConsoleSpec = ConsoleSpec()
    approval_url: str | None = None
