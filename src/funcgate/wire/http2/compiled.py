"""The compiled halves of this package, None where they are not used. The last one uses the others."""

from funcgate.core.native import half

packing = half("funcgate.wire.http2._packing")
unpacking = half("funcgate.wire.http2._unpacking")
native = half("funcgate.wire.http2._native")
