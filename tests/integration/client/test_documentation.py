"""Every example of docs/clients.md, run against a server over a socket."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import add_encoder
from tests.fakes.running import Running, make_settings, running
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.trainer import FakeTrainer, install
from tests.fakes.workers import working

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
URL, KEY = "http://127.0.0.1:8765", "a key of this test"
RECORDS = [
    {"id": "m1", "text": "how do I get my money back", "group": "refund"},
    {"id": "p1", "text": "where is my parcel", "group": "parcel"},
]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server with the collection and the file that the page speaks of."""
    make_tiny_bundle(tmp_path / "bundle", head_labels=("refund", "parcel"))
    make_tiny_bundle(tmp_path / "trained", seed=7)
    install(monkeypatch, FakeTrainer(tmp_path / "trained"))
    settings = make_settings(tmp_path / "data", api_key=KEY, workers=0)
    add_encoder(settings, tmp_path / "bundle", "faq-encoder")
    (tmp_path / "faq.csv").write_text("id,question\nq1,how long does it take\nq2,\n")
    monkeypatch.chdir(tmp_path)
    with running(settings, headers={"Authorization": f"Bearer {KEY}"}) as started, working(started):
        started.client.post("/v1/collections", json={"name": "faq", "encoder": "faq-encoder"}).raise_for_status()
        batch = started.client.post("/v1/collections/faq/records:batch?wait=visible", json={"upsert": RECORDS})
        batch.raise_for_status()
        yield started


def here(code: str, service: Running) -> str:
    """The example with this server's URL and key."""
    return re.sub(r"\bKEY\b", KEY, code.replace(URL, service.url))


def _name(code: str) -> str:
    imported = re.findall(r"^from (\S+) import", code, re.MULTILINE)
    return imported[0] if imported else "none"


@pytest.mark.filterwarnings("ignore")  # of other clients
@pytest.mark.parametrize("code", PYTHON, ids=_name)
def test_the_python_examples_run(
    code: str, service: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _name(code).partition(".")[0]
    if importlib.util.find_spec(root) is None:
        pytest.skip(f"{root} is not installed: the extras test and test-clients bring it")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    exec(compile(here(code, service), "docs/clients.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out.strip(), "each example prints what it got"


def test_the_first_example_prints_what_is_nearest(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(here(PYTHON[0], service), "docs/clients.md", "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m1 refund 1.0 how do I get my money back"
    assert lines[-1].startswith("matched ")


@pytest.mark.parametrize("code", SHELL, ids=lambda code: code.splitlines()[0][:60])
def test_the_curl_examples_run(code: str, service: Running) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    script = f"set -e\n{here(code, service)}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    decoder, rest = json.JSONDecoder(), done.stdout.strip()
    answers = []
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].strip()
    assert len(answers) == len(re.findall("^curl ", code, re.MULTILINE))
    assert not [answer for answer in answers if isinstance(answer, dict) and "error" in answer]


def test_the_page_has_its_examples() -> None:
    assert (len(PYTHON), len(SHELL)) == (11, 2)
