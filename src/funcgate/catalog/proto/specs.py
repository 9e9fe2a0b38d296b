"""How the configuration says where a gRPC target's methods are described."""

from typing import Literal

from msgspec import Struct


class ProtoSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `reflection`, `descriptors` (a file with a FileDescriptorSet) and `proto` (files, those that they import among
    them). `methods` (``package.Service/Method``) may be called without anybody knowing their messages."""

    reflection: bool = False
    descriptors: str | None = None
    proto: list[str] = []
    methods: list[str] = []
    unknown_fields: Literal["refuse", "pass"] = "refuse"
