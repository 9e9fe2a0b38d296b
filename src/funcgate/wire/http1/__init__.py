"""HTTP/1.1 messages as bytes (RFC 9112): strict readers on llhttp, and writers. No sockets here."""
