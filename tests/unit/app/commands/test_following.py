"""Following a job past a restart of its server, and giving up on one that stays away."""

from typing import Any

import pytest

from app.commands import following
from app.commands.client import ClientError, ServerAwayError

OVER = {
    "state": "succeeded",
    "progress": {"stage": "storing", "done": 2, "total": 2, "unit": "rows", "per_second": 0, "eta_s": None, "note": {}},
}


class Flickering:
    """A client whose server is away so many times before it answers."""

    def __init__(self, n_away: float) -> None:
        self.n_away = n_away

    def get(self, path: str) -> Any:
        assert path == "/v1/jobs/k1"
        if self.n_away > 0:
            self.n_away -= 1
            raise ServerAwayError("no server answers")
        return OVER


def test_a_restart_is_sat_out_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "_AWAY_S", 0.0)
    assert following.follow(Flickering(3), "k1") is OVER  # type: ignore[arg-type]
    assert capsys.readouterr().err.count("the server is away") == 1


def test_giving_up_names_the_job_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.0)
    monkeypatch.setattr(following, "_AWAY_S", 0.001)
    with pytest.raises(ClientError, match="samesay jobs follow k1"):
        following.follow(Flickering(float("inf")), "k1")  # type: ignore[arg-type]
