"""What is kept of how a release was made: figures, decisions and ids of records, never their texts."""

from datetime import UTC, datetime
from typing import Any

from app.job.run import JobRun
from app.job.tables import JobType


def make_report(
    run: JobRun, steps: dict[str, dict[str, Any]], check: dict[str, Any], verdict: dict[str, Any]
) -> dict[str, Any]:
    """The report of a release.

    Args:
        run: The job that made it.
        steps: What each of its steps came to.
        check: What the data check found.
        verdict: What the gate said.
    """
    request = run.request
    frozen = steps["freeze"]
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "collection": run.collection,
        "previous": steps["judge"]["against"],
        "data": {name: frozen[name] for name in ("rows", "groups", "out_of_scope", "seq", "sha256")},
        "training": None
        if run.type is not JobType.TRAINING
        else {
            "recipe": request["recipe"],
            "settings": request["settings"],
            "seed": request["seed"],
            "metrics": steps["train"]["metrics"],
        },
        "gate": request["gate"],
        "check": check,
        "verdict": verdict,
        "seconds": {name: step["seconds"] for name, step in steps.items()},
        "who": request["who"],
        "why": request["why"],
    }
