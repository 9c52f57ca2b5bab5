"""metrics.jsonl as curves: every scalar, whatever a killed run left behind."""

import json
from pathlib import Path

from model.callbacks.progress import read_epochs
from model.report.curves import draw_curves


def test_torn_lines_are_passed_over_and_a_repeated_epoch_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [
        '{"epoch": 1, "loss": 3}',
        '{"epoch": 2, "loss": 2}',
        '{"epoch": 2, "loss": 1.5}',
        "[]",
        '{"epoch": 3, "lo',
    ]
    path.write_text("\n".join(lines))
    assert read_epochs(path) == [{"epoch": 1, "loss": 3}, {"epoch": 2, "loss": 1.5}]
    assert read_epochs(tmp_path / "none") == []


def test_every_finite_scalar_is_a_curve_and_nothing_else() -> None:
    epochs = [
        {"epoch": 1, "step": 10, "loss": 2.0, "note": "x", "flag": True, "kl": float("nan")},
        {"epoch": 2, "step": 20, "loss": 1.0, "kl": 0.5, "best": None},
    ]
    curves = {curve.name: (curve.epochs, curve.values) for curve in draw_curves(json.loads(json.dumps(epochs)))}
    assert curves == {"loss": ((1, 2), (2.0, 1.0)), "kl": ((2,), (0.5,))}


def test_a_long_run_is_thinned_evenly_and_keeps_its_end() -> None:
    curve = draw_curves({"epoch": epoch, "loss": -epoch} for epoch in range(1, 10_001))[0]
    assert 150 < len(curve.epochs) <= 300
    assert curve.epochs[-1] == 10_000
    assert len({later - earlier for earlier, later in zip(curve.epochs, curve.epochs[1:], strict=False)}) == 1
    assert curve.values == tuple(-epoch for epoch in curve.epochs)
