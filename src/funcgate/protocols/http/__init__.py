"""HTTP/1.1 on both sides: callers on one, pooled connections to targets on the other (RFC 9110, RFC 9112)."""
