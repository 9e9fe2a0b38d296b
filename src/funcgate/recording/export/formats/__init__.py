"""The formats, one file each, and the explicit list of them."""

from collections.abc import Callable, Mapping

from .cef import Cef
from .csv import Csv
from .form import Format, Unavailable
from .jsonl import JsonLines
from .ocsf import Ocsf
from .parquet import Parquet

FORMATS: Mapping[str, Callable[[], Format]] = {
    "jsonl": JsonLines,
    "csv": Csv,
    "cef": Cef,
    "ocsf": Ocsf,
    "parquet": Parquet,
}

__all__ = ["FORMATS", "Format", "Unavailable"]
