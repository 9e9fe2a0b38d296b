"""The libpq that psycopg brings along, asked past psycopg: who has a token for OAUTHBEARER tells it by a hook of C's."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import psycopg_binary

_BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN


class _Request(ctypes.Structure):
    """PGoauthBearerRequest, PostgreSQL 18."""

    _fields_ = (
        ("openid_configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p), ("async_", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p), ("token", ctypes.c_char_p), ("user", ctypes.c_void_p),
    )  # fmt: skip


_Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def version() -> int:
    return int(psycopg.pq.version())


@contextmanager
def token(value: str) -> Iterator[list[tuple[str, str]]]:
    """Within it, libpq logs in with this token where it is asked for one. Yields where it was told to get one, for what."""
    folder = Path(str(psycopg_binary.__file__)).parent.with_name("psycopg_binary.libs")
    library = ctypes.CDLL(str(next(folder.glob("libpq-*.so*"))))
    asked: list[tuple[str, str]] = []
    given = ctypes.c_char_p(value.encode())

    def answer(kind: int, _connection: int | None, data: int | None) -> int:
        if kind != _BEARER_TOKEN or data is None:
            return 0
        request = _Request.from_address(data)
        asked.append(((request.openid_configuration or b"").decode(), (request.scope or b"").decode()))
        request.token = given
        return 1

    hook = _Hook(answer)
    library.PQsetAuthDataHook.argtypes = [ctypes.c_void_p]
    library.PQsetAuthDataHook(ctypes.cast(hook, ctypes.c_void_p))
    try:
        yield asked
    finally:
        library.PQsetAuthDataHook(None)
