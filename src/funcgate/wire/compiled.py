"""The compiled half of this package, None where it is not used."""

from funcgate.core.native import half

native = half("funcgate.wire._native")
