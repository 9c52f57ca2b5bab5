"""What is shipped: the wheel runs elsewhere, the images work on the files they copy, the compose file is valid."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
from psycopg.pq import Conninfo
from ruamel.yaml import YAML
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from app.job.processes import _STOP_S
from app.settings import Settings
from tests.fakes.postgres import create_database
from tests.fakes.running import Running
from tests.fakes.spawned import spawned

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "model", "index", "migrations", "samples", "samesay")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, built from exactly what the app image copies, installed in a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in copied_files("app.Dockerfile"):
        where = ROOT / name
        (shutil.copytree if where.is_dir() else shutil.copy)(where, source / name)
    pip(["install", "--no-deps", "--target", str(target), str(source)])
    return target


def copied_files(dockerfile: str) -> list[str]:
    """What the COPY lines take from the repository."""
    lines = re.findall(r"^COPY (.+)$", (ROOT / "docker" / dockerfile).read_text(), re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def pip(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, timeout=300)


def run(installed: Path, cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the installed package, away from the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_brings_its_packages_and_data(installed: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*[m.__file__ for m in ({', '.join(PACKAGES)})])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [Path(path).parent for path in done.stdout.split()] == [installed / name for name in PACKAGES]
    assert (installed / "samples" / "faq.tsv").read_bytes() == (ROOT / "samples" / "faq.tsv").read_bytes()
    assert (installed / "migrations" / "versions").is_dir()
    assert (installed / "samesay" / "py.typed").exists()


def test_the_client_needs_nothing_of_the_service(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys, samesay; samesay.Client(); own = {name.partition('.')[0] for name in sys.modules}; "
        "print(*own & {'app', 'model', 'index', 'numpy', 'fastapi', 'sqlalchemy', 'onnxruntime', 'torch', 'orjson'})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_wheel_serves(installed: Path, tmp_path: Path) -> None:
    with spawned(tmp_path / "data", cwd=tmp_path, PYTHONPATH=str(installed)) as server:
        assert httpx.get(f"{server.url}/livez").status_code == 200
        assert httpx.get(f"{server.url}/v1/collections").json()["items"] == []


def test_the_wheel_upgrades_postgresql(installed: Path, tmp_path: Path, postgres: str) -> None:
    url = create_database(postgres, "from_the_wheel")
    done = run(installed, tmp_path, "db", "upgrade", SAMESAY_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dockerfile", ["app.Dockerfile", "trainer.Dockerfile"])
def test_what_an_image_copies_and_installs_is_there(dockerfile: str) -> None:
    text = (ROOT / "docker" / dockerfile).read_text()
    assert set(PACKAGES) <= set(copied_files(dockerfile))
    assert all((ROOT / name).exists() for name in copied_files(dockerfile))
    extras = re.findall(r"(?:EXTRAS=|\.\[)([a-z][a-z,]*)", text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras
    assert {extra for line in extras for extra in line.split(",")} <= known.keys()


def test_the_app_image_has_no_torch() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chosen = [*requirements["dependencies"], *requirements["optional-dependencies"]["cpu"]]
    assert not [line for line in chosen if line.startswith("torch")]


def test_the_start_line_of_the_app_image(installed: Path, tmp_path: Path) -> None:
    """CMD with the image's environment: beyond loopback it wants a key, says so, and serves with one."""
    text = (ROOT / "docker" / "app.Dockerfile").read_text()
    command = re.findall(r'"([^"]+)"', re.search(r"^CMD (.+)$", text, re.MULTILINE).group(1))  # type: ignore[union-attr]
    assert command == ["samesay", "serve"]
    assert "SAMESAY_HOST=0.0.0.0" in text
    refused = run(installed, tmp_path, "serve", SAMESAY_HOST="0.0.0.0", SAMESAY_DATA=str(tmp_path / "d"))
    assert refused.returncode == 1
    assert "SAMESAY_API_KEY" in refused.stderr
    with spawned(
        tmp_path / "d", cwd=tmp_path, PYTHONPATH=str(installed), SAMESAY_HOST="0.0.0.0", SAMESAY_API_KEY="k" * 32
    ) as server:
        local = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{local}/v1/collections").status_code == 401
        allowed = httpx.get(f"{local}/v1/collections", headers={"Authorization": f"Bearer {'k' * 32}"})
        assert allowed.status_code == 200


def test_the_start_line_of_the_trainer_image(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "train", "--help")
    assert done.returncode == 0
    assert "--recipe" in done.stdout


def test_the_compose_file_is_valid() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_compose_waits_for_the_end_of_the_server() -> None:
    """Requests may go on for drain_s, and then its two kinds of workers are given _STOP_S each."""
    grace = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]["app"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= Settings.model_fields["drain_s"].default + 2 * _STOP_S + 5


def test_compose_asks_the_server_whether_it_is_ready(shared_service: Running) -> None:
    _, *asks = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]["app"]["healthcheck"]["test"]
    assert asks[0] == "python" and "http://127.0.0.1:8765/" in asks[-1]
    for url, status in ((shared_service.url, 0), ("http://127.0.0.1:1", 1)):
        asked = [sys.executable, *asks[1:-1], asks[-1].replace("http://127.0.0.1:8765", url)]
        assert subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == status


def test_what_ends_before_the_others_have_begun_is_begun_again(postgres: str, tmp_path: Path) -> None:
    """Compose starts app and trainer together: a worker that comes first ends, and none would train ever after."""
    url = create_database(postgres, "composed")
    assert run(ROOT, tmp_path, "db", "upgrade", SAMESAY_DATABASE_URL=url).returncode == 0
    worker = run(ROOT, tmp_path, "worker", "--only", "releases", "--data", "data", SAMESAY_DATABASE_URL=url)
    assert (worker.returncode, "start a server first" in worker.stderr) == (1, True)
    services = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    policies = {name: service.get("restart") for name, service in services.items()}
    always = "unless-stopped"
    assert policies == {"database": always, "migrate": None, "app": always, "trainer": always}


@pytest.mark.parametrize("password", ["plain", "p@ss", "a/b:c#d?e", "100%41"])
def test_the_compose_file_hands_on_any_password(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """As libpq understands the environment that the compose file makes."""
    text = (ROOT / "docker-compose.yml").read_text().replace("${POSTGRES_PASSWORD}", password)
    given = dict(re.findall(r"^ +(SAMESAY_DATABASE_URL|PGPASSWORD): (\S+)", text, re.MULTILINE))
    monkeypatch.setenv("PGPASSWORD", given.get("PGPASSWORD", ""))
    defaults = {option.keyword.decode(): option.val.decode() for option in Conninfo.get_defaults() if option.val}
    found = {**defaults, **PGDialect_psycopg().create_connect_args(make_url(given["SAMESAY_DATABASE_URL"]))[1]}
    wanted = {"host": "database", "user": "samesay", "dbname": "samesay", "password": password}
    assert {name: found[name] for name in wanted} == wanted
