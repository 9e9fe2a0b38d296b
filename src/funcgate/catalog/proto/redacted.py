"""Which fields of a method's arguments the description marks `debug_redact`, as paths for masking.

Where a type contains itself or an Any, there are paths without end: those are written with ``**``, which hides rather too much.
"""

from collections.abc import Callable, Iterable, Iterator

from . import special
from .kinds import SUBMESSAGE, is_map
from .upb import Descriptor, Field

_MOST_STEPS = 2000
Extensions = Callable[[Descriptor], list[Field]]


def redacted_paths(
    descriptor: Descriptor, extensions: Extensions, types: Callable[[], Iterable[Descriptor]]
) -> tuple[str, ...]:
    """The paths. `types` gives all that an Any may hold."""
    reached = list(_reached(descriptor, extensions))
    endless = any(type_.full_name == special.ANY for type_ in reached)
    if endless:
        reached += types()
    if not any(hides(field) for type_ in reached for field in _fields(type_, extensions)):
        return ()
    if not endless:
        paths: list[str] = []
        for step, path in enumerate(_exact(descriptor, extensions, "")):
            # Attack: a description whose types reach one another in so many ways that the paths never end.
            if step > _MOST_STEPS:
                break
            if path:
                paths.append(path)
        else:
            return tuple(dict.fromkeys(paths))
    hidden = [field for type_ in reached for field in _fields(type_, extensions) if hides(field)]
    return tuple(dict.fromkeys(f"**.{_step(field)}" for field in hidden))


def hides(field: Field) -> bool:
    return bool(field.GetOptions().debug_redact)


def _fields(type_: Descriptor, extensions: Extensions) -> list[Field]:
    return [*type_.fields, *extensions(type_)]


def _step(field: Field) -> str:
    # An extension's name is no step of a path, so its message is hidden member by member.
    return "*" if field.is_extension else str(field.name)


def _exact(descriptor: Descriptor, extensions: Extensions, start: str) -> Iterator[str]:
    """The paths, and "" for each step that leads to none."""
    waiting = [(descriptor, start)]
    while waiting:
        type_, before = waiting.pop()
        for field in _fields(type_, extensions):
            path, value = before + _step(field), field
            if hides(field):
                yield path
                continue
            yield ""
            if is_map(field):
                path, value = f"{path}.*", field.message_type.fields_by_name["value"]
            elif field.is_repeated:
                path = f"{path}[*]"
            if value.type in SUBMESSAGE and value.message_type.full_name not in special.NESTED:
                waiting.append((value.message_type, f"{path}."))


def _reached(descriptor: Descriptor, extensions: Extensions) -> Iterator[Descriptor]:
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        type_ = waiting.pop()
        if type_.full_name not in seen:
            seen.add(type_.full_name)
            yield type_
            waiting += [field.message_type for field in _fields(type_, extensions) if field.type in SUBMESSAGE]
