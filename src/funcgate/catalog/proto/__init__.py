"""gRPC methods as functions: what can be called, with which arguments, from descriptors. It refuses to guess.

Messages are read and written here; how they travel is for wire/grpc and protocols/grpc.
"""

from .catalog import ProtoCatalog, load_proto
from .method import Answers, Args, Judged, Method, Seen
from .reflection import Asking, NotReflected, reflect
from .specs import AboutSpec, ProtoSpec
from .walk import MessageLimits

__all__ = [
    "AboutSpec",
    "Answers",
    "Args",
    "Asking",
    "Judged",
    "MessageLimits",
    "Method",
    "NotReflected",
    "ProtoCatalog",
    "ProtoSpec",
    "Seen",
    "load_proto",
    "reflect",
]
