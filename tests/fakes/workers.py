"""Workers of every kind in the test's own process, for a service that starts none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.job.kinds import Kind
from app.job.worker import Worker
from app.worker_duties import duties_of
from tests.fakes.running import Running

_LOOK_S = 0.02


@contextmanager
def working(service: Running) -> Iterator[None]:
    """Do the service's jobs until the block ends."""
    over = threading.Event()

    def work(kind: Kind) -> None:
        settings = service.container.settings
        worker = Worker(service.container.database, duties_of(settings, kind), f"worker of {kind}", settings.jobs)
        while not over.is_set():
            if not worker.run_next():
                over.wait(_LOOK_S)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in Kind]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
