"""Migrations of the state, applied at the start of a gateway that finds an older one."""
