"""What is built in, as explicit lists. Nothing registers itself by being imported: what is not named here does not exist."""

from collections.abc import Mapping
from functools import partial

from funcgate.catalog import Readers, load_http
from funcgate.config.parts import LoadFunctions
from funcgate.wire import forms, strict_json

PROTOCOLS: Mapping[str, LoadFunctions] = {
    "http": partial(load_http, readers=Readers(json=strict_json.loads, form=forms.loads)),
}
