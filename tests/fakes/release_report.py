"""A report as a retraining stores it, judged in earnest on made-up sentences and tiny bundles."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.config import GateRules
from model.contract.dataset import Row
from model.contract.deciding.decision import DecisionParameters
from model.judging.data_check import check_data, suspects
from model.judging.rows import part
from model.judging.verdict import judge
from tests.fakes.judged import SHARE, make_rows, tiny


def rows_with_faults() -> list[Row]:
    """A tenth of them in a wrong group, two the same, one alone, and names that look like markup."""
    rng = random.Random(0)
    rows = [
        replace(row, group=f"g{rng.randrange(5)}" if row.group and rng.random() < 0.1 else row.group)
        for row in make_rows(400, strangers=60)
    ]
    rows = [replace(row, group="<b>g4" if row.group == "g4" else row.group) for row in rows]
    rows += [Row(line=900 + n, id=f"x<{n}>", text="the same & more", group=f"g{n}", role="example") for n in range(2)]
    return [*rows, Row(line=902, id="alone", text="good morning everybody", group="alone", role="example")]


def make_report(folder: Path, rules: dict[str, Any] | None = None) -> dict[str, Any]:
    """The report of a candidate that is worse than what answers."""
    rows = rows_with_faults()
    active = tiny(folder / "active", dim=64, decision=DecisionParameters(threshold=0.5))
    candidate = tiny(folder / "candidate", dim=4, seed=1, decision=DecisionParameters(threshold=0.7, margin=0.01))
    check = check_data(rows, active, SHARE, lambda n: None)
    verdict = judge(
        candidate,
        active,
        part(rows, SHARE),
        GateRules.read(rules or {}),
        share=SHARE,
        suspects=suspects(check),
        tell=lambda n: None,
    )
    return {
        "made_at": "2026-11-29T06:00:00+00:00",
        "collection": "faq",
        "previous": 3,
        "data": {"rows": len(rows), "groups": 6, "out_of_scope": 60, "seq": 4711, "sha256": "ab" * 32},
        "training": {
            "recipe": "default",
            "settings": {"epochs": 12, "margin": 0.35},
            "seed": 7,
            "metrics": {"head_accuracy": 0.87654, "seconds": 81.5},
        },
        "gate": rules or {},
        "check": check,
        "verdict": verdict,
        "seconds": {"freeze": 0.11, "check": 2.22, "train": 1333.33, "judge": 4.44},
        "who": "key <ops>",
        "why": "more & better variants",
    }
