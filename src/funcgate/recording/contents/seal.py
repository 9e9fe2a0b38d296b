"""An entry as it goes to the disk where encryption is configured: what is confidential in it, sealed.

What stays in the clear is what the record is searched and judged by: when, which call, function, session, decision, outcome.
"""

from binascii import b2a_base64

from funcgate.core.entry import Entry, Kind, Sealed

from .forms import CONTENT, METADATA, Metadata, encode_content, encode_metadata, encrypt
from .keys import Keys


def is_open(entry: Entry) -> bool:
    """Whether something in the entry has to be sealed. What administrators do is no caller's, and stays in the clear."""
    return (
        entry.args is not None
        or entry.body is not None
        or bool(entry.fields)
        or entry.principal is not None
        or bool(entry.client or entry.detail or entry.trace or entry.reason)
    ) and entry.kind is not Kind.ADMIN


def seal(entry: Entry, keys: Keys) -> None:
    """Seal in place. Objects that the entry names must have been sealed with the same keys."""
    content = content_name = metadata = metadata_name = ""
    if entry.args is not None or entry.body is not None or entry.fields:
        data = encode_content(entry.args, entry.body, entry.fields)
        content = b2a_base64(encrypt(keys.content, data, entry, CONTENT), newline=False).decode()
        content_name = keys.content_name
        entry.args = entry.body = None
        entry.fields = ()
    elif entry.object or entry.args_object:
        content_name = keys.content_name
    if entry.principal is not None or entry.client or entry.detail or entry.trace or entry.reason:
        data = encode_metadata(Metadata(entry.principal, entry.client, entry.trace, entry.reason, entry.detail))
        metadata = b2a_base64(encrypt(keys.metadata, data, entry, METADATA), newline=False).decode()
        metadata_name = keys.metadata_name
        entry.principal = None
        entry.client = entry.trace = entry.reason = entry.detail = ""
    keys.used += 1
    entry.sealed = Sealed(content=content, content_key=content_name, meta=metadata, meta_key=metadata_name)


def emptied(entry: Entry) -> Entry:
    """The entry without all that would have to be sealed: for one that cannot be, and may not be lost."""
    entry.args = entry.body = entry.principal = None
    entry.fields = ()
    entry.client = entry.trace = entry.reason = entry.detail = ""
    return entry


def target_of(entry: Entry) -> str:
    """The entry's target; where it only names a function, that function's. A target's name holds no dot."""
    return entry.target or entry.function.partition(".")[0]
