"""A target's functions: what can be called, with which arguments, and how a message on the wire names them.

Refuses to guess: a description that could be read in two ways is a problem when it is loaded.
"""

from .binding import Binding
from .build import Readers
from .http import Found, HttpCatalog, load_http
from .specs import FunctionSpec, OpenApiSpec

__all__ = ["Binding", "Found", "FunctionSpec", "HttpCatalog", "OpenApiSpec", "Readers", "load_http"]
