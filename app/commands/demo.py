"""`samesay demo`: train on the sample FAQ, import it, serve it, ask it a few questions and retrain it."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from app.commands.client import Client
from app.commands.demo_retraining import retrain
from app.commands.following import follow
from app.commands.importing import send_file
from app.commands.shared import plain_errors
from app.errors import StartupError
from model.contract.keep_out import KEPT_OUT
from model.contract.tables import ShownTable

COLLECTION: Final = "faq"
QUESTIONS: Final = (
    "买错了，能把单子撤掉吗",
    "钱什么时候退回我卡里？",
    "where on earth is my parcel",
    "I was billed two times!!",
    "发票抬头写错了，can you change it?",
    "what is the capital of France",
)
_FIRST_PORT: Final = 8765
_START_TIMEOUT_S: Final = 60.0
_console = Console(soft_wrap=True)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Answer and exit instead of serving.")] = False,
    data: Annotated[Path, typer.Option("--data", help="Folder of the demo; a second run uses it again.")] = Path(
        "data/demo"
    ),
) -> None:
    """Train on the sample FAQ, serve it, ask it in Chinese and English, retrain it and roll back."""
    with plain_errors(), as_file(files("samples")) as samples:
        folder = data / _fingerprint(samples)
        bundle = _train(folder, samples)
        _measure(bundle, samples)
        server_data = folder / "server"
        _register(bundle, server_data)
        with _server(server_data, port=0 if once else _free_port()) as url, Client(url, None) as client:
            _fill(client, samples)
            _ask(client)
            retrain(client, f"/v1/collections/{COLLECTION}", _say)
            if not once:
                _keep_serving(url)


def _fingerprint(samples: Path) -> str:
    """Changes with the samples and with the version, so that an old demo is never mistaken for this one."""
    content = b"".join((samples / name).read_bytes() for name in ("faq.tsv", "strangers.tsv"))
    digest = hashlib.sha256(version("samesay").encode() + content)
    return digest.hexdigest()[:12]


def _train(folder: Path, samples: Path) -> Path:
    run = folder / "run"
    if (run / "bundle" / "manifest.json").exists():
        _say(f"1. The encoder in {run} was trained before")
        return run / "bundle"
    _say("1. Training on the sample FAQ, Chinese and English")
    resume = ["--resume"] if (run / "checkpoint.safetensors").exists() else []
    # what a retraining keeps out, so that the two can be compared
    _trainer(
        "train",
        samples / "faq.tsv",
        "--out",
        run,
        "--set",
        f"keep_out={KEPT_OUT}",
        "--out-of-scope",
        samples / "strangers.tsv",
        *resume,
    )
    return run / "bundle"


def _measure(bundle: Path, samples: Path) -> None:
    _say("2. Measuring it on questions that it has not seen, some of them out of scope")
    _trainer("evaluate", bundle, samples / "queries.tsv", "--against", samples / "faq.tsv")


def _trainer(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "model", *map(str, arguments)]
    if subprocess.run(command, check=False).returncode:
        raise StartupError(f"`samesay {arguments[0]}` failed, see above; is samesay[train] installed?")


def _register(bundle: Path, server_data: Path) -> None:
    from app.container import open_encoders
    from app.db.opening import open_database
    from app.settings import Settings

    settings = Settings(data=server_data, database_url=None, api_key=None)
    with closing(open_database(settings)) as database:
        open_encoders(settings, database).add(bundle, COLLECTION)


def _free_port() -> int:
    """The usual port, or the next one that nobody has."""
    for port in range(_FIRST_PORT, _FIRST_PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                _say(f"   port {port} is taken, trying {port + 1}")
                continue
        return port
    raise StartupError(f"the ports {_FIRST_PORT} to {_FIRST_PORT + 99} are all taken")


@contextmanager
def _server(server_data: Path, port: int) -> Iterator[str]:
    """`samesay serve` as a child process; its URL."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMESAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", str(port), "--data", str(server_data)],
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "SAMESAY_LOG_LEVEL": "WARNING"},
    )
    watchdog = threading.Timer(_START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        ready = process.stdout.readline() if process.stdout else ""
        watchdog.cancel()
        if "http://" not in ready:
            raise StartupError("the server did not start; see its log above")
        yield next(word for word in ready.split() if word.startswith("http://"))
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGTERM)
        process.wait()


def _fill(client: Client, samples: Path) -> None:
    _say("3. Importing the FAQ into the collection 'faq'")
    if all(collection["name"] != COLLECTION for collection in client.get("/v1/collections")["items"]):
        client.post("/v1/collections", {"name": COLLECTION, "encoder": COLLECTION})
    for name, what in (("faq.tsv", "are searchable"), ("strangers.tsv", "that belong to no group are at hand")):
        job = follow(client, send_file(client, COLLECTION, samples / name)["id"])
        if job["state"] != "succeeded":
            raise StartupError(f"the import {job['state']}: {job['error']}")
        _say(f"   {job['result']['rows']} sentences {what}")


def _ask(client: Client) -> None:
    _say("4. Asking")
    table = ShownTable("question", "decision", "group", "confidence", "nearest sentence", "score", show_lines=True)
    place = f"/v1/collections/{COLLECTION}"
    found = client.post(f"{place}:search", {"queries": list(QUESTIONS), "k": 1})["results"]
    decided = client.post(f"{place}:classify", {"texts": list(QUESTIONS), "top_n": 1})["results"]
    for question, neighbours, decision in zip(QUESTIONS, found, decided, strict=True):
        group = decision["groups"][0]["group"] if decision["decision"] != "no_match" and decision["groups"] else ""
        text, score = (neighbours[0]["text"], neighbours[0]["score"]) if neighbours else ("", 0.0)
        table.add(question, decision["decision"], group, f"{decision['confidence']:.2f}", text, f"{score:.2f}")
    table.print()


def _keep_serving(url: str) -> None:
    body = '{"text": "怎么退款"}'
    _say(f"8. Serving at {url} (API: {url}/docs) until Ctrl-C. Try, in another terminal:")
    _say(f"   {sys.argv[0]} classify {COLLECTION} 'how do I get my money back' --url {url}")
    _say(f"   curl -s {url}/v1/collections/{COLLECTION}:classify -d '{body}'")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


def _say(line: str) -> None:
    _console.print(line, markup=False, highlight=False)
