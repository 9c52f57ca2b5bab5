"""Tests of releases: a service without workers of its own, a trainer that takes no time, encoders that differ."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.fakes.running import Running, running
from tests.fakes.tiny_bundle import make_tiny_bundle
from tests.fakes.trainer import FakeTrainer, install


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles of other encoders than the tiny one."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed in range(10, 20):
        make_tiny_bundle(folder / str(seed), seed=seed)
    return [folder / str(seed) for seed in range(10, 20)]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, bundles: list[Path]) -> FakeTrainer:
    """It trains nothing and gives out one of these."""
    return install(monkeypatch, FakeTrainer(bundles[0]))


@pytest.fixture
def service(registered: Settings) -> Iterator[Running]:
    """A service that keeps one release beside the active one, and whose jobs the tests do themselves."""
    with running(registered.model_copy(update={"workers": 0, "keep_releases": 1})) as started:
        yield started
