"""A FileDescriptorSet to descriptors that belong to one target alone. It refuses sets that are incomplete or say two things.

The well-known types are ours, whatever the set says they are: their readers know their fields.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2

from .upb import DecodeError, Descriptor, Field

MAX_BYTES = 64 << 20
_OURS = {
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2, api_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, source_context_pb2, struct_pb2,
        timestamp_pb2, type_pb2, wrappers_pb2,
    )
}  # fmt: skip
_RPC = {module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb for module in (code_pb2, error_details_pb2, status_pb2)}


class BadSet(Exception):
    """The descriptors cannot be used. `args[0]` says why."""


class Pool:
    """`names` are the files of the set, each after those that it imports; `raw` what each says."""

    def __init__(self, data: bytes) -> None:
        """Raises `BadSet`."""
        files = _files(data)
        given = {name: raw for name, raw in files.items() if name not in _OURS}
        available = {**_OURS, **_RPC, **given}
        # What an Any may hold although nothing imports it.
        wanted = [*given, *_OURS, *(_RPC if not _RPC.keys() & given.keys() else ())]
        self._pool = DescriptorPool()
        self.names: list[str] = []
        self.raw = given
        for name in _ordered(wanted, available):
            try:
                self._pool.AddSerializedFile(available[name])
            except (TypeError, ValueError, DecodeError) as error:
                raise BadSet(f"{name}: {_first_line(error)}") from None
            if name in given:
                self.names.append(name)

    @staticmethod
    def new(descriptor: Descriptor) -> type:
        """The class of a type's messages."""
        made: type = GetMessageClass(descriptor)
        return made

    def type_named(self, name: str) -> Descriptor | None:
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            return None

    def extensions(self, descriptor: Descriptor) -> list[Field]:
        return list(self._pool.FindAllExtensions(descriptor))

    def methods(self) -> Iterator[Any]:
        """Every method of every service."""
        for name in self.names:
            for service in self._pool.FindFileByName(name).services_by_name.values():
                yield from service.methods

    def types(self) -> Iterator[Descriptor]:
        """Every message type, those within others too."""
        waiting: list[Any] = []
        for name in self.names:
            waiting += self._pool.FindFileByName(name).message_types_by_name.values()
        while waiting:
            type_ = waiting.pop()
            yield type_
            waiting += type_.nested_types


def _files(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_BYTES:
        raise BadSet(f"the descriptors are larger than {MAX_BYTES >> 20} MiB")
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(data)
    except DecodeError:
        raise BadSet(
            "this is no FileDescriptorSet; make one with protoc --include_imports --descriptor_set_out"
        ) from None
    files: dict[str, bytes] = {}
    for file in found.file:
        raw = file.SerializeToString(deterministic=True)
        # Attack: two descriptions under one name, of which one is judged by.
        if files.setdefault(file.name, raw) != raw:
            raise BadSet(f"{file.name} is in it twice, and not the same")
    if not files:
        raise BadSet("there are no descriptors in it")
    return files


def _ordered(wanted: list[str], available: dict[str, bytes]) -> list[str]:
    """Each file after those that it imports."""
    done: dict[str, bool] = {}  # False while its imports are followed
    order: list[str] = []
    open_ends = [*reversed(wanted)]
    while open_ends:
        name = open_ends[-1]
        if name not in available:
            raise BadSet(f"{name} is imported and not there; make the set with --include_imports")
        if name in done:
            open_ends.pop()
            if not done[name]:
                done[name] = True
                order.append(name)
            continue
        done[name] = False
        for other in descriptor_pb2.FileDescriptorProto.FromString(available[name]).dependency:
            if done.get(other) is False:
                raise BadSet(f"{name} and {other} import each other")
            if other not in done:
                open_ends.append(other)
    return order


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "it cannot be read"
