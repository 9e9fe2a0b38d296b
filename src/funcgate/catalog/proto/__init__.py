"""gRPC methods as functions: what can be called, with which arguments, from descriptors. It refuses to guess."""

from .specs import ProtoSpec

__all__ = ["ProtoSpec"]
