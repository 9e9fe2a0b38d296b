"""Runs the migrations on the connection that database.py hands over. There is no other way to run them."""

from alembic import context

from funcgate.stores.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
