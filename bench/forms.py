"""The same call as everyday clients send it, and its answer as everyday servers write it: whole, in pieces, in chunks.

Which piece is a packet of its own was taken from the writes of these programs (strace), each with its defaults.
"""

from collections.abc import Callable
from typing import NamedTuple

Pieces = list[bytes]


class Form(NamedTuple):
    """How a call comes and how it is answered, each as the pieces in which it is written. `last`: the caller says so."""

    shown: str
    request: Callable[[bytes, bytes], Pieces]
    answer: Callable[[bytes, bytes], Pieces]
    last: bool = False


def whole(head: bytes, body: bytes) -> Pieces:
    return [head + body]


def head_first(head: bytes, body: bytes) -> Pieces:
    return [head, body]


def _chunks(body: bytes) -> Pieces:
    half = len(body) // 3
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:half], body[half:])] + [b"0\r\n\r\n"]


def _chunked(head: bytes) -> bytes:
    fields = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join([*fields[:-2], b"Transfer-Encoding: chunked", b"", b""])


def in_chunks(head: bytes, body: bytes) -> Pieces:
    return [_chunked(head) + b"".join(_chunks(body))]


def chunk_by_chunk(head: bytes, body: bytes) -> Pieces:
    return [_chunked(head), *_chunks(body)]


def end_later(head: bytes, body: bytes) -> Pieces:
    *chunks, end = _chunks(body)
    return [_chunked(head) + b"".join(chunks), end]


def _closing(head: bytes) -> bytes:
    return head[:-2] + b"Connection: close\r\n\r\n"


def closed(head: bytes, body: bytes) -> Pieces:
    return [_closing(head) + body]


def closed_head_first(head: bytes, body: bytes) -> Pieces:
    return [_closing(head), body]


FORMS = {
    "whole": Form("one packet each (Go, Node, aiohttp, curl; Go, Node, aiohttp)", whole, whole),
    "body": Form("request: head, body (httpx, requests, urllib3, Java)", head_first, whole),
    "chunked": Form("request: chunked, one packet (Node)", in_chunks, whole),
    "chunks": Form("request: head, chunk, chunk, end (httpx, requests, from a generator)", chunk_by_chunk, whole),
    "close": Form("request: head with `Connection: close`, body (urllib.request)", closed_head_first, whole, True),
    "answer-body": Form("answer: head, body (uvicorn, http.server, Java)", whole, head_first),
    "both-body": Form("both: head, body (httpx or requests to uvicorn)", head_first, head_first),
    "answer-chunked": Form("answer: chunked, one packet (Node, Go)", whole, in_chunks),
    "answer-end": Form("answer: head and chunks, end (Go, flushed)", whole, end_later),
    "answer-chunks": Form(
        "answer: head, chunk, chunk, end (uvicorn, aiohttp, from a generator)", whole, chunk_by_chunk
    ),
    "answer-close": Form("answer: `Connection: close`", whole, closed),
}
