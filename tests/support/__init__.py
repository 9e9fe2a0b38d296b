"""What the tests share: a token authority, a target that keeps a ledger, a gateway process, a raw socket."""
