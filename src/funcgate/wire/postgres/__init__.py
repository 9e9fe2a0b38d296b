"""PostgreSQL's frontend/backend protocol 3.0 as pure functions over bytes. What a codec does not know it refuses."""
