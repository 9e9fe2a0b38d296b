"""Loads a catalogue from text, with the real codecs."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from funcgate.catalog import FunctionSpec, HttpCatalog, OpenApiSpec, Readers, load_http
from funcgate.wire import forms, strict_json

READERS = Readers(strict_json.loads, forms.loads)
WHERE = ("targets", 0, "functions")

FromText = Callable[..., HttpCatalog]
Listed = Callable[..., HttpCatalog]


@pytest.fixture
def from_openapi(tmp_path: Path) -> FromText:
    """The catalogue of an OpenAPI text: its `paths` and `components`, or the whole of it."""

    def load(text: str, version: str = "3.1.0", name: str = "api.yaml", **options: str) -> HttpCatalog:
        text = dedent(text)
        if version:
            text = f"openapi: {version}\ninfo: {{title: t, version: '1'}}\n{text}"
        (tmp_path / name).write_text(text)
        spec = OpenApiSpec(openapi=name, **options)  # type: ignore[arg-type]
        return load_http("pay", spec, tmp_path, WHERE, readers=READERS)

    return load


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    def load(*specs: FunctionSpec) -> HttpCatalog:
        return load_http("pay", list(specs), tmp_path, WHERE, readers=READERS)

    return load
