"""`python -m model check` and `judge`: what a service runs before and after it trains."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from model.config import GateRules, ProgressForm
from model.contract.bundle import load_bundle
from model.contract.dataset import read_rows
from model.contract.errors import DatasetError
from model.contract.files import whole_file
from model.contract.keep_out import KEPT_OUT

_TELL_S = 0.5

RowsArgument = Annotated[Path, typer.Argument(help="NDJSON with id, text, group, labels and role.")]
ShareOption = Annotated[float, typer.Option(min=0, max=1, help="Share of the sentences that no training learns from.")]
OutOption = Annotated[Path, typer.Option(help="Where to write the answer, as JSON.")]
RulesOption = Annotated[Path | None, typer.Option(help="Rules of the gate that differ from the defaults, as JSON.")]
ProgressOption = Annotated[ProgressForm, typer.Option(help="json: tell on stderr, a line of JSON now and then.")]


def check_command(
    rows: RowsArgument,
    encoder: Annotated[Path, typer.Option(help="Bundle whose encoder tells what is near.")],
    out: OutOption,
    keep_out: ShareOption = KEPT_OUT,
    rules: RulesOption = None,
    progress: ProgressOption = ProgressForm.AUTO,
) -> None:
    """Look for what is odd about sentences before training on them, and at the rules of the gate."""
    from model.judging.data_check import check_data

    _read_rules(rules)
    read = read_rows(rows).rows
    narrator = _Narrator(progress, "looking", len(read))
    _write(out, check_data(read, load_bundle(encoder), keep_out, narrator.tell))


def judge_command(
    rows: RowsArgument,
    candidate: Annotated[Path, typer.Option(help="Bundle that is to answer.")],
    active: Annotated[Path, typer.Option(help="Bundle that answers now.")],
    out: OutOption,
    keep_out: ShareOption = KEPT_OUT,
    rules: RulesOption = None,
    checked: Annotated[Path | None, typer.Option(help="What `check` wrote about the same rows.")] = None,
    progress: ProgressOption = ProgressForm.AUTO,
) -> None:
    """Judge a bundle against another on sentences that neither should have learned from."""
    from model.judging.data_check import suspects
    from model.judging.rows import read_judged
    from model.judging.verdict import judge

    gate, found = _read_rules(rules), _read_json(checked) if checked is not None else None
    judged = read_judged(rows, keep_out)
    if not judged.stored:
        raise DatasetError(f"{rows}: no sentence is stored, so that nothing can be judged; add records")
    total = 2 * (len(judged.stored) + len(judged.asked) + len(judged.strangers))
    verdict = judge(
        load_bundle(candidate),
        load_bundle(active),
        judged,
        gate,
        share=keep_out,
        suspects=suspects(found) if found is not None else frozenset(),
        tell=_Narrator(progress, "judging", total).tell,
    )
    _write(out, verdict)


def _read_rules(path: Path | None) -> GateRules:
    return GateRules.read(_read_json(path) if path is not None else {})


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error


def _write(path: Path, value: dict[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(value, ensure_ascii=False).encode())


class _Narrator:
    """Says how many sentences are done."""

    def __init__(self, form: ProgressForm, stage: str, total: int) -> None:
        self._is_json, self._stage, self._total = form is ProgressForm.JSON, stage, total
        self._done, self._told_at = 0, 0.0

    def tell(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if self._is_json and now - self._told_at >= _TELL_S:
            self._told_at = now
            event = {"event": "progress", "stage": self._stage, "done": self._done, "total": self._total}
            print(json.dumps({**event, "unit": "rows"}), file=sys.stderr, flush=True)
