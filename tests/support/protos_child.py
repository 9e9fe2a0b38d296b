"""A second pair of eyes: reads messages with protobuf's pure Python parser, and shows them as docs/grpc.md says.

A program of its own, as only one implementation of protobuf can be in a process. One line of JSON in, one out.
"""

import base64
import json
import math
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal import api_implementation

WRAPPERS = re.compile(r"google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value")


class Eyes:
    def __init__(self, data: bytes, defaults: bool) -> None:
        self.pool = DescriptorPool()
        self.defaults = defaults
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            self.pool.AddSerializedFile(file.SerializeToString())

    def parse(self, name: str, data: bytes) -> Any:
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name)).FromString(data)

    def top(self, message: Any) -> Any:
        value = self.nested(message)
        name = message.DESCRIPTOR.full_name
        plain = self.is_plain(name) or name in ("google.protobuf.Struct", "google.protobuf.Any")
        return value if plain else {"value": value}

    @staticmethod
    def is_plain(name: str) -> bool:
        special = ("Timestamp", "Duration", "Struct", "Value", "ListValue", "Any")
        return not (WRAPPERS.fullmatch(name) or name in [f"google.protobuf.{one}" for one in special])

    def nested(self, message: Any) -> Any:
        name = message.DESCRIPTOR.full_name
        if self.is_plain(name):
            return self.members(message)
        if WRAPPERS.fullmatch(name):
            return self.single(message.DESCRIPTOR.fields_by_name["value"], message.value)
        return getattr(self, name.rpartition(".")[2].lower())(message)

    def members(self, message: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in message.DESCRIPTOR.fields:
            value = getattr(message, field.name)
            if field.has_presence:
                if not message.HasField(field.name):
                    continue
            elif not self.defaults and not value and not (isinstance(value, float) and math.copysign(1, value) < 0):
                continue
            found[field.name] = self.value(field, value)
        for field, value in message.ListFields():
            if field.is_extension:
                found[field.full_name.replace(".", "/")] = self.value(field, value)
        return found

    def value(self, field: Any, value: Any) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of = field.message_type.fields_by_name["value"]
            return {self.key(key): self.single(of, value[key]) for key in value}
        return [self.single(field, item) for item in value] if field.is_repeated else self.single(field, value)

    @staticmethod
    def key(key: Any) -> str:
        return str(key).lower() if isinstance(key, bool) else str(key)

    def single(self, field: Any, value: Any) -> Any:
        if field.message_type is not None:
            return self.nested(value)
        if field.enum_type is not None:
            return next((one.name for one in field.enum_type.values if one.number == value), value)
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    def timestamp(self, message: Any) -> str:
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=message.seconds)
        return whole.isoformat().removesuffix("+00:00") + fraction(message.nanos) + "Z"

    def duration(self, message: Any) -> str:
        sign = "-" if message.seconds < 0 or message.nanos < 0 else ""
        return f"{sign}{abs(message.seconds)}{fraction(abs(message.nanos))}s"

    def struct(self, message: Any) -> Any:
        return {key: self.nested(message.fields[key]) for key in message.fields}

    def listvalue(self, message: Any) -> Any:
        return [self.nested(value) for value in message.values]

    def value_(self, message: Any) -> Any:
        kind = message.WhichOneof("kind")
        if kind in (None, "null_value"):
            return None
        value = getattr(message, kind)
        return self.nested(value) if kind in ("struct_value", "list_value") else value

    def any(self, message: Any) -> Any:
        if not message.type_url:
            return {}
        inner = self.parse(message.type_url.rpartition("/")[2], message.value)
        plain = self.is_plain(inner.DESCRIPTOR.full_name)
        shown = self.members(inner) if plain else {"value": self.nested(inner)}
        return {"@type": message.type_url, **shown}


def fraction(nanos: int) -> str:
    digits = f"{nanos:09}"
    for length in (0, 3, 6, 9):
        if not digits[length:].strip("0"):
            return f".{digits[:length]}" if length else ""
    return ""


class EyesOfValues(Eyes):
    def nested(self, message: Any) -> Any:
        return (
            self.value_(message) if message.DESCRIPTOR.full_name == "google.protobuf.Value" else super().nested(message)
        )


def main() -> None:
    assert api_implementation.Type() == "python"
    data = sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
    eyes = {defaults: EyesOfValues(data, defaults) for defaults in (False, True)}
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        try:
            one = eyes[asked["defaults"]]
            seen = {"seen": one.top(one.parse(asked["type"], base64.b64decode(asked["data"])))}
        except Exception as error:
            seen = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
