"""A target, by its protocol."""

from typing import Any, Literal

from msgspec import Struct

from funcgate.catalog import FunctionSpec, OpenApiSpec
from funcgate.catalog.proto import ProtoSpec
from funcgate.credentials import CredentialSpec

from .limits import StreamLimitsSpec, TargetLimitsSpec, UpstreamTlsSpec
from .postgres import PostgresTargetSpec


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


class MysqlTargetSpec(LaterTargetSpec, frozen=True, kw_only=True, tag_field="protocol", tag="mysql"):
    pass


class McpTargetSpec(LaterTargetSpec, frozen=True, kw_only=True, tag_field="protocol", tag="mcp"):
    pass


TargetSpec = HttpTargetSpec | GrpcTargetSpec | PostgresTargetSpec | MysqlTargetSpec | McpTargetSpec
