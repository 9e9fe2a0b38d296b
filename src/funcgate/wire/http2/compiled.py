"""The compiled halves of this package, None where they are not used."""

from funcgate.core.native import half

native = half("funcgate.wire.http2._native")
packing = half("funcgate.wire.http2._packing")
unpacking = half("funcgate.wire.http2._unpacking")
