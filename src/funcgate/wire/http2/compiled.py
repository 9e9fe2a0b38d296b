"""The compiled halves of this package, None where they are not used. The last one uses the others."""

from funcgate.core.native import half

packing = half("funcgate.wire.http2._packing")
unpacking = half("funcgate.wire.http2._unpacking")
native = None if unpacking is None else half("funcgate.wire.http2._native")  # reads by its `message`
