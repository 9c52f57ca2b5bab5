"""A real Milvus for the tests: the server that the milvus wheel brings, in a process of its own, on free ports."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

_START_S: Final = 120.0

# The wheel's own launcher, which lays out the folder; it would wait for ever where the server dies.
_SERVE: Final = """
import sys
from milvus import MilvusServer, MilvusServerConfig

folder, web_port, *ports = sys.argv[1:]
config = MilvusServerConfig(data_dir=folder)
names = ["proxy_port", "etcd_port", *sorted(name for name in config.configurable_items if name.endswith("_port"))]
for name, port in zip(dict.fromkeys(names), ports):
    config.configs[name] = int(port)
server = MilvusServer(config, wait_for_started=False)
server.webservice_port = int(web_port)
server.start()
sys.stdin.read()
server.stop()
"""

_ETCD: Final = """
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
"""


def skip_without_milvus() -> None:
    """Skip the test where something that it takes is missing."""
    if find_spec("pymilvus") is None:
        pytest.skip("no pymilvus: pip install 'samesay[milvus]'")
    if find_spec("milvus") is None:
        pytest.skip("no Milvus server: pip install 'samesay[test-milvus]', on Linux")


@contextmanager
def milvus_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Start a server on loopback, over what another one left in the folder; yields its address.

    Args:
        folder: Its data.
        port: Where it listens; a free one by default.
    """
    skip_without_milvus()
    etcd_peer, web, proxy, etcd, *others = _free_ports(20)
    proxy = port or proxy
    etcd_config = folder / "etcd.yaml"
    etcd_config.write_text(_ETCD.format(client=etcd, peer=etcd_peer))
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, *map(str, (folder, web, proxy, etcd, *others))],
        stdin=subprocess.PIPE,
        env={**os.environ, "ETCD_CONFIG_PATH": str(etcd_config)},
    )
    with process:
        assert process.stdin is not None
        try:
            _wait(f"http://127.0.0.1:{web}/healthz", folder)
            yield f"http://127.0.0.1:{proxy}"
        finally:
            process.stdin.close()
            process.wait(60)


def _free_ports(n: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [free.getsockname()[1] for free in sockets]


def _wait(health_url: str, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(health_url, timeout=10) as answer:
                if answer.read() == b"OK":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"Milvus does not start: {(folder / 'logs/milvus-stderr.log').read_text()[-2000:]}")
        time.sleep(0.1)
