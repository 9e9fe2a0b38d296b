"""HTTP/2 on both sides: callers on one, multiplexed connections to targets on the other (RFC 9113)."""
