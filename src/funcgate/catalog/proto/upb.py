"""The few operations on messages that we use, by the functions themselves.

Attack: a field, or a type within a message, that is named ListFields or Clear, so that ``message.Clear()`` is something else.
"""

from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError, EncodeError

# The speed, the checks of UTF-8 and the limit of depth are upb's.
IS_UPB = api_implementation.Type() == "upb"

Message = Any
Field = Any
Descriptor = Any

list_fields = Empty.ListFields
byte_size = Empty.ByteSize
clear = Empty.Clear
clear_field = Empty.ClearField
copy_from = Empty.CopyFrom
discard_unknown = Empty.DiscardUnknownFields
has_field = Empty.HasField
is_initialized = Empty.IsInitialized
set_in_parent = Empty.SetInParent
parse_into = Empty.MergeFromString
serialized = Empty.SerializeToString
which = Empty.WhichOneof

__all__ = [
    "IS_UPB",
    "DecodeError",
    "Descriptor",
    "EncodeError",
    "Field",
    "Message",
    "byte_size",
    "clear",
    "clear_field",
    "copy_from",
    "discard_unknown",
    "has_field",
    "is_initialized",
    "list_fields",
    "parse_into",
    "serialized",
    "set_in_parent",
    "which",
]
