"""The compiled halves of this package, None where they are not used."""

from funcgate.core.native import half

native = half("funcgate.wire._native")
reading = half("funcgate.wire.http1._reading")
writing = half("funcgate.wire.http1._writing")
