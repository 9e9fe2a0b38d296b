"""Sample descriptions of messages, their catalogue, and a reader of messages that shares no code with the one under test."""

import base64
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from funcgate.catalog.proto import Method, ProtoCatalog, ProtoSpec, load_proto
from funcgate.catalog.proto.protoc import compile_files
from funcgate.catalog.proto.texts import bytes_of

FOLDER = Path(__file__).with_name("proto_samples")
FILES = ("sample.proto", "older.proto", "edition.proto")
WHERE = ("targets", 0, "functions")


@cache
def descriptor_set() -> bytes:
    """All the samples and what they import."""
    return compile_files([FOLDER / name for name in FILES])


def catalog(unknown: str = "refuse") -> ProtoCatalog:
    return _catalog(unknown)


@cache
def _catalog(unknown: str) -> ProtoCatalog:
    spec = ProtoSpec(reflection=True, unknown_fields=unknown)  # type: ignore[arg-type]
    return load_proto("t", spec, FOLDER, WHERE, descriptor_set())


def method(name: str, unknown: str = "refuse") -> Method:
    """A method by its name in sample.Samples, or by ``package.Service/Method``."""
    found = catalog(unknown).find(f"/{name if '/' in name else f'sample.Samples/{name}'}".encode())
    assert found is not None
    return found


@cache
def pool() -> DescriptorPool:
    made = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file:
        made.AddSerializedFile(file.SerializeToString())
    return made


def new(name: str, /, **fields: Any) -> Any:
    """A message of a type, ``sample.All`` or ``All``."""
    return GetMessageClass(pool().FindMessageTypeByName(name if "." in name else f"sample.{name}"))(**fields)


class Eyes:
    """The other reader: protobuf in pure Python, in a process of its own."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("protos_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        )
        data = descriptor_set()
        self._write(f"{len(data)}\n".encode() + data)

    def _write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(data)
        self._child.stdin.flush()

    def see(self, name: str, data: bytes, *, defaults: bool = True) -> Any:
        """What the message says, as docs/grpc.md shows it; bytes as ``{"bytes": BASE64}``. Raises `AssertionError`."""
        asked = {"type": name if "." in name else f"sample.{name}", "data": base64.b64encode(data).decode()}
        self._write(json.dumps({**asked, "defaults": defaults}).encode() + b"\n")
        assert self._child.stdout is not None
        told = json.loads(self._child.stdout.readline())
        assert "seen" in told, told
        return told["seen"]

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait(10)


def same(ours: Any, theirs: Any) -> bool:
    """Whether what we show is what the other reader sees, types and all."""
    if isinstance(theirs, dict) and theirs.keys() == {"bytes"} and isinstance(ours, str):
        return bytes_of(ours) == base64.b64decode(theirs["bytes"])
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs
