"""HTTP/2 as bytes (RFC 9113) and its header compression (RFC 7541): no I/O, no clock, no idea of a call."""
