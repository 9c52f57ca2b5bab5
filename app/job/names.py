"""How workers are called: by their machine and process, and so that no two are ever called the same."""

import socket


def worker_name(pid: int, unique: str) -> str:
    """The name of a worker of this machine.

    Args:
        pid: Its process.
        unique: Tells it from others that had this number before; with an empty one, what their names begin with.
    """
    return f"{socket.gethostname()}:{pid}:{unique}"
