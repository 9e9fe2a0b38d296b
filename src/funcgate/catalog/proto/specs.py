"""How the configuration says where a gRPC target's methods are described."""

from typing import Literal

from msgspec import Struct


class AboutSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What no descriptor says of some methods. `methods` are ``package.Service/Method``, ``package.Service/*`` or ``*``."""

    methods: list[str]
    risk: str = ""
    owner: str = ""


class ProtoSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `reflection`, `descriptors` (a file with a FileDescriptorSet) and `proto` (files, those that they import among
    them). `methods` (``package.Service/Method``) may be called without anybody knowing their messages. `credential` says that
    the target's goes with the question for its reflection. `max_depth` (64) and `max_values` (200,000) are for one message; of
    `about`, the last that names a method counts."""

    reflection: bool = False
    credential: bool = False
    descriptors: str | None = None
    proto: list[str] = []
    methods: list[str] = []
    unknown_fields: Literal["refuse", "pass"] = "refuse"
    max_depth: int | None = None
    max_values: int | None = None
    about: list[AboutSpec] = []
