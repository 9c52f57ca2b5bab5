"""`samesay worker`: imports, exports and trainings in a process of their own."""

from typing import Annotated

import typer

from app.commands.shared import DataOption, end_on_sigterm, load_settings, plain_errors
from app.job.kinds import Kind
from app.priority import let_others_go_first


def worker(
    data: DataOption = None,
    only: Annotated[
        Kind | None, typer.Option(help="Run these jobs only: files (imports, exports) or releases (trainings).")
    ] = None,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True, help="Started by a server.")] = False,
) -> None:
    """Run the jobs of servers that share a PostgreSQL database and a data folder; start as many as you like.

    A server starts workers by itself; with SAMESAY_WORKERS=0 it leaves the jobs to these. SIGTERM ends a worker at
    once: another one goes on from where it was.
    """
    end_on_sigterm()
    with plain_errors():
        settings = load_settings(tells=not embedded, data=data)  # the server has told
        if embedded:
            let_others_go_first()  # before there are threads, the libraries' too: each has a priority of its own
        from app.observability.logs import configure_logging
        from app.worker import work

        configure_logging(settings.log_level)
        work(settings, embedded=embedded, only=only)
