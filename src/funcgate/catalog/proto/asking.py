"""A program of its own, never imported: asks one server what its methods are and writes a FileDescriptorSet.

It reads how to reach the server as JSON from its standard input. It prints nothing of what it was told.
"""

import json
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

_LONGEST_QUOTE = 200
_VERSIONS = ("v1", "v1alpha")  # their messages are the same


class Refusal(Exception):
    """The server cannot be asked. The text is for whoever starts the gateway."""


def main() -> int:
    told = json.load(sys.stdin)
    if told["headers"]:
        # Attack: what the library says of metadata that it does not take has them in it, and ends up in a log. Only we speak.
        sys.stderr = os.fdopen(os.dup(2), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        files = ask(told)
    except Refusal as why:
        sys.stderr.write(str(why))
        return 1
    except grpc.RpcError as error:
        sys.stderr.write(error.code().name + quoted(error.details(), told))
        return 1
    except Exception as error:
        sys.stderr.write(f"it cannot be asked ({type(error).__name__})")
        return 1
    found = FileDescriptorSet(file=[FileDescriptorProto.FromString(files[name]) for name in sorted(files)])
    sys.stdout.buffer.write(found.SerializeToString(deterministic=True))
    return 0


def quoted(said: str | None, told: dict[str, Any]) -> str:
    """The server's own words, for whoever starts the gateway."""
    # Attack: a server that says the credential which it was told, whole, in parts or backwards: it goes into a log.
    if told["headers"] or not said:
        return ""
    # Attack: control characters, which clear a terminal or begin a line of a log.
    return ": " + "".join(one if one.isprintable() else "?" for one in said[:_LONGEST_QUOTE])


def ask(told: dict[str, Any]) -> dict[str, bytes]:
    """The server's files, by name."""
    with channel(told) as line:
        for version in _VERSIONS:
            try:
                return Talk(line, version, told).files()
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNIMPLEMENTED or version == _VERSIONS[-1]:
                    raise
    raise Refusal("it offers no server reflection")


def channel(told: dict[str, Any]) -> grpc.Channel:
    host = f"[{told['host']}]" if ":" in told["host"] else told["host"]
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", told["max_bytes"]),
        ("grpc.enable_http_proxy", 0),
    ]
    if told["server_name"]:
        options.append(("grpc.ssl_target_name_override", told["server_name"]))
    if told["authority"]:
        options.append(("grpc.default_authority", told["authority"]))
    where = f"{host}:{told['port']}"
    if not told["tls"]:
        return grpc.insecure_channel(where, options)
    read = {name: Path(told[name]).read_bytes() if told[name] else None for name in ("ca", "cert", "key")}
    if read["cert"] is not None and read["key"] is None:
        read["key"] = read["cert"]
    roots = read["ca"] or of_the_system()
    return grpc.secure_channel(where, grpc.ssl_channel_credentials(roots, read["key"], read["cert"]), options)


def of_the_system() -> bytes | None:
    """The system's certificates; None (then grpc's own) when there are none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    files = sorted(Path(paths.capath).glob("*.[0-9]")) if paths.capath else []
    return b"\n".join([file.read_bytes() for file in files]) or None


class Talk:
    """One stream of questions, each answered before the next."""

    def __init__(self, line: grpc.Channel, version: str, told: dict[str, Any]) -> None:
        self._questions: Queue[ServerReflectionRequest | None] = Queue()
        self._left = told["max_bytes"]
        self._told = told
        call = line.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        self._answers = call(self._asked(), timeout=told["timeout_s"], metadata=[(n, v) for n, v in told["headers"]])

    def _asked(self) -> Iterator[ServerReflectionRequest]:
        while (question := self._questions.get()) is not None:
            yield question

    def _ask(self, **question: Any) -> ServerReflectionResponse:
        self._questions.put(ServerReflectionRequest(**question))
        for answer in self._answers:
            self._left -= answer.ByteSize()
            # Attack: a server that never stops saying what it has.
            if self._left < 0:
                raise Refusal("it says more than it may")
            return answer
        raise Refusal("it ended the conversation")

    def files(self) -> dict[str, bytes]:
        try:
            return self._files()
        finally:
            self._questions.put(None)

    def _files(self) -> dict[str, bytes]:
        listed = self._ask(list_services="*")
        if not listed.HasField("list_services_response"):
            raise Refusal("it lists no services" + quoted(listed.error_response.error_message, self._told))
        found: dict[str, bytes] = {}
        for service in sorted(entry.name for entry in listed.list_services_response.service):
            answer = self._ask(file_containing_symbol=service)
            keep(
                answer, found
            )  # a service that it lists and does not describe is unknown, as one that it does not list
        if not found:
            raise Refusal("it describes none of its services")
        asked: set[str] = set()
        while missing := sorted(imported(found) - found.keys() - asked):
            for name in missing:
                asked.add(name)
                keep(self._ask(file_by_filename=name), found)  # what it does not know may be a well-known one
        return found


def keep(answer: ServerReflectionResponse, found: dict[str, bytes]) -> None:
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        file = FileDescriptorProto.FromString(raw)
        found.setdefault(file.name, raw)


def imported(found: dict[str, bytes]) -> set[str]:
    return {name for raw in found.values() for name in FileDescriptorProto.FromString(raw).dependency}


if __name__ == "__main__":
    sys.exit(main())
