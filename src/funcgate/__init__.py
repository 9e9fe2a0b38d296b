"""An identity-aware gateway for function calls."""
