"""`samesay serve`: run the service until it is told to stop."""

import os
from typing import Annotated

import typer

from app.commands.shared import DataOption, end_on_sigterm, load_settings, plain_errors
from model.contract.runtime import check_runtimes


def serve(
    host: Annotated[str | None, typer.Option(help="Address. (env: SAMESAY_HOST; default: 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one. (env: SAMESAY_PORT; default: 8765)")] = None,
    data: DataOption = None,
) -> None:
    """Serve searches over HTTP; prints the URL when ready. SIGTERM finishes what is running and exits."""
    end_on_sigterm()
    _calculate_on_one_thread()
    with plain_errors():
        settings = load_settings(host=host, port=port, data=data)
        check_runtimes()
        from app import server
        from app.observability.logs import configure_logging

        configure_logging(settings.log_level)
        server.serve(settings)


def _calculate_on_one_thread() -> None:
    """Keep OpenBLAS and OpenMP from threads of their own, unless the environment asks for them.

    A request is one small product; requests run side by side already. A pool in each library would fight over the
    cores, spin between calls and hold buffers for each thread. The libraries look once, when NumPy and FAISS are
    loaded, so that this must come first. The trainer, a process of its own that `samesay train` starts, is left alone.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
