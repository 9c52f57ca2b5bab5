"""`samesay db`: the database's schema."""

from contextlib import closing

import typer

from app.commands.shared import DataOption, load_settings, plain_errors, tell_of_new_database

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps a single command a command of the group."""


@app.command()
def upgrade(data: DataOption = None) -> None:
    """Bring the database to this version's schema. SQLite is also upgraded by `samesay serve`."""
    with plain_errors():
        from app.db import migrating
        from app.db.opening import connect_database, has_database

        settings = load_settings(data=data)
        is_new = not has_database(settings)
        with closing(connect_database(settings)) as database:
            migrating.upgrade(database.engine)
        if is_new:
            tell_of_new_database(settings)
        print(f"{database.engine.dialect.name} is at schema {migrating.head()}")
