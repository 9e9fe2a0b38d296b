"""PostgreSQL callers and targets: sockets, sessions, and each statement as a call on its way through."""
