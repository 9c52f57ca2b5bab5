"""Worker processes of a server: started when there is work, gone when there has been none for a while."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

_STOP_S: Final = 5.0

_log = structlog.get_logger(__name__)


class WorkerProcesses:
    """Starts workers; for one thread.

    A worker ends with the server, however that ends: its standard input is a pipe that closes then.

    Args:
        command: Starts one.
        environment: Its environment, whole.
        most: Of them at the same time.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], most: int) -> None:
        self._command, self._environment, self._most = command, environment, most
        self._running: list[subprocess.Popen[bytes]] = []

    def reap(self) -> list[int]:
        """The process ids of workers that have died since."""
        ended = [process for process in self._running if self._has_ended(process)]
        self._running = [process for process in self._running if process not in ended]
        return [process.pid for process in ended if process.returncode]

    @property
    def pids(self) -> list[int]:
        """The process ids of those that run."""
        return [process.pid for process in self._running]

    def provide(self, wanted: int) -> None:
        """See that as many workers run as there are jobs for, up to the most."""
        for _ in range(min(wanted, self._most) - len(self._running)):
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=dict(self._environment))
            _log.info("worker_started", pid=process.pid)
            self._running.append(process)

    def stop(self) -> None:
        """End them all."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._close(process)
        self._running = []

    def _has_ended(self, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is None:
            return False
        if process.returncode:
            _log.warning("worker_died", pid=process.pid, exit_status=process.returncode)
        self._close(process)
        return True

    def _close(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdin is not None:
            process.stdin.close()
