"""gRPC over HTTP/2 and gRPC-Web, as far as it is bytes: messages, timeouts, statuses, codings, metadata. Pure.

Refuses what two readers could read in two ways; what a message says is for catalog/proto.
"""

from .coding import CODINGS, UnknownCoding, opened, packed
from .messages import Frames, Malformed, Message, TooLarge, alone, frame
from .metadata import check, is_binary, is_reserved, read_binary, write_binary
from .refusals import refusal, status_of
from .statuses import Status, from_http, read_message, read_status, write_message
from .timeouts import read_timeout, write_timeout
from .web import TextReader, WebKind, text, trailer_frame

__all__ = [
    "CODINGS",
    "Frames",
    "Malformed",
    "Message",
    "Status",
    "TextReader",
    "TooLarge",
    "UnknownCoding",
    "WebKind",
    "alone",
    "check",
    "frame",
    "from_http",
    "is_binary",
    "is_reserved",
    "opened",
    "packed",
    "read_binary",
    "read_message",
    "read_status",
    "read_timeout",
    "refusal",
    "status_of",
    "text",
    "trailer_frame",
    "write_binary",
    "write_message",
    "write_timeout",
]
