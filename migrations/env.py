"""How Alembic runs our history: on the connection that it is handed, never on one of its own."""

from alembic import context

from app.tables import Base


def run() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


run()
