"""What callbacks do at their moments."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from model.callbacks.best_checkpoint import BEST_FILE, BestCheckpoint
from model.callbacks.early_stopping import EarlyStopping
from model.callbacks.interface import MOMENTS, Callback, TrainingRun
from model.callbacks.loading import load_callback
from model.callbacks.progress import METRICS_FILE, ProgressReporter
from model.checkpoint import Position, RunState, load_weights
from model.config import Config, make_config
from model.data.training_data import Files, load_training_data
from model.errors import CallbackError, ConfigError
from model.progress import JsonNarrator, PlainNarrator
from model.training.loop import train


def run_of(folder: Path, monitor: str = "score") -> TrainingRun:
    modules = nn.Linear(1, 1, bias=False)
    state = RunState(modules, [], position=Position(total_steps=10))
    return TrainingRun(Config(), folder, None, None, state, True, monitor=monitor)  # type: ignore[arg-type]


def evaluate(run: TrainingRun, callback: Callback, value: float, weight: float) -> None:
    with torch.no_grad():
        run.state.modules.weight.fill_(weight)  # type: ignore[operator,union-attr]
    run.metrics = {run.monitor: value, "epoch": run.state.position.epoch + 1}
    callback.on_evaluated(run)
    run.state.position.epoch += 1
    callback.on_epoch_end(run)


def kept(run: TrainingRun) -> float:
    load_weights(run.folder / BEST_FILE, run.state.modules)
    return float(run.state.modules.weight.detach())  # type: ignore[operator,union-attr]


@pytest.mark.parametrize(("monitor", "best"), [("score", 4.0), ("valid_loss", 2.0), ("loss", 2.0)])
def test_the_best_epoch_is_kept_the_later_of_equals(tmp_path: Path, monitor: str, best: float) -> None:
    run = run_of(tmp_path, monitor)
    for weight, value in enumerate([0.5, 0.3, 0.7, 0.7, 0.6], start=1):
        evaluate(run, BestCheckpoint(), value, float(weight))
    assert kept(run) == best
    assert run.state.position.best_epoch == run.state.position.kept_epoch == best


@pytest.mark.parametrize(("n_measured", "wanted"), [(0, 2), (10_000, 2), (100, 4), (10, 5)])
def test_a_later_epoch_is_kept_where_the_held_out_rows_are_too_few_to_speak_against_it(
    tmp_path: Path, n_measured: int, wanted: int
) -> None:
    run = run_of(tmp_path)
    run.n_measured = n_measured
    for weight, value in enumerate([0.5, 0.8, 0.7, 0.77, 0.68], start=1):  # errors of 0.8: 0.004, 0.04, 0.13
        evaluate(run, BestCheckpoint(), value, float(weight))
    assert kept(run) == run.state.position.kept_epoch == wanted
    assert (run.state.position.best_metric, run.state.position.best_epoch) == (0.8, 2)


def test_losses_have_no_error_to_be_within(tmp_path: Path) -> None:
    run = run_of(tmp_path, "valid_loss")
    run.n_measured = 10
    for weight, value in enumerate([0.5, 0.3, 0.31], start=1):
        evaluate(run, BestCheckpoint(), value, float(weight))
    assert kept(run) == run.state.position.kept_epoch == 2


def test_the_last_epoch_is_kept_where_nothing_is_watched(tmp_path: Path) -> None:
    run = run_of(tmp_path, "")
    for weight in (1.0, 2.0):
        evaluate(run, BestCheckpoint(), 0.0, weight)
    assert kept(run) == 2.0


def test_early_stopping_waits_for_its_patience(tmp_path: Path) -> None:
    run, best, stopping = run_of(tmp_path), BestCheckpoint(), EarlyStopping(2)
    stopped = []
    for value in (0.5, 0.7, 0.6, 0.6):
        evaluate(run, best, value, 0.0)
        stopping.on_epoch_end(run)
        stopped.append(run.stop)
    assert stopped == [False, False, False, True]


class Counting(Callback):
    """A user's own."""

    seen = 0

    def on_batch_end(self, run: TrainingRun) -> None:
        self.seen += run.n_sentences


def test_a_users_callback_is_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine_for_samesay.py").write_text(
        "from model.callbacks.interface import Callback\nclass Mine(Callback):\n    pass\nclass Other:\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(load_callback("mine_for_samesay:Mine")).__name__ == "Mine"
    for name, message in [
        ("mine_for_samesay", "write module:Class"),
        (":Mine", "write module:Class"),
        ("mine_for_samesay:Yours", "has no attribute 'Yours'"),
        ("nowhere_at_all:Mine", "No module named 'nowhere_at_all'"),
        ("mine_for_samesay:Other", "not a class derived from"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load_callback(name)


def test_what_a_users_callback_raises_is_one_line_with_the_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "failing_for_samesay.py").write_text(
        "from model.callbacks.interface import Callback\n"
        "class Raises(Callback):\n"
        "    def on_step_end(self, run):\n"
        "        raise ValueError('no\\nluck')\n"
        "    def state_dict(self):\n"
        "        return {'seen': 3}\n"
        "class WantsMore(Callback):\n"
        "    def __init__(self, more): ...\n"
    )
    (tmp_path / "broken_for_samesay.py").write_text("x = = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    callback, run = load_callback("failing_for_samesay:Raises"), run_of(tmp_path)
    callback.on_batch_end(run)
    place = r"on_step_end: ValueError: no luck \(.*failing_for_samesay.py, line 4\); mend it, then .* --resume"
    with pytest.raises(CallbackError, match=place):
        callback.on_step_end(run)
    with pytest.raises(CallbackError, match=r"'seen' is 3; give a tensor, such as torch.tensor\(3\)"):
        callback.state_dict()
    with pytest.raises(CallbackError, match=r"TypeError: .*missing 1 required positional argument: 'more'"):
        load_callback("failing_for_samesay:WantsMore")
    with pytest.raises(CallbackError, match="SyntaxError: invalid syntax"):
        load_callback("broken_for_samesay:Mine")


class StopsAt(Callback):
    """Stops in the second epoch, and counts those that it saw."""

    epochs = 0

    def on_epoch_begin(self, run: TrainingRun) -> None:
        self.epochs += 1

    def on_evaluated(self, run: TrainingRun) -> None:
        run.stop = run.state.position.epoch == 1


def test_a_run_that_was_stopped_has_ended_for_one_that_resumes_it(tmp_path: Path) -> None:
    lines = [f"g{number % 4}\tword{number % 4} and {number}" for number in range(40)]
    (tmp_path / "a.tsv").write_text("\n".join(["group\ttext", *lines]) + "\n")
    config = make_config("smoke", ["epochs=4", "objective=head"])
    data = load_training_data(Files(tmp_path / "a.tsv"), config, seed=0)
    first, again = StopsAt(), StopsAt()
    stopped = train(data, 0, tmp_path, callbacks=[first])
    resumed = train(data, 0, tmp_path, resume=True, callbacks=[again])
    assert (first.epochs, again.epochs) == (2, 0)
    assert resumed.kept_epoch == stopped.kept_epoch


def test_every_moment_is_a_hook() -> None:
    assert set(MOMENTS) == {name for name in vars(Callback) if name.startswith("on_")}


def test_epochs_go_to_a_file_and_uncounted_ones_are_forgotten(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    reporter = ProgressReporter(PlainNarrator())
    for epoch in (1, 2, 3):
        run.metrics = {"epoch": epoch, "loss": 1 / epoch}
        reporter.on_evaluated(run)
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"epoch": 4, "lo')  # all that a full disk had room for
    run.state.position.epoch = 2  # the checkpoint knows two epochs: the run was killed before the third was saved
    reporter.on_train_begin(run)
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]


def test_progress_as_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = JsonNarrator()
    narrator.begin(2)
    narrator.batch(3, 10, {"epoch": 1, "loss": 0.5})
    narrator.epoch({"epoch": 1, "loss": 0.4, "head_accuracy": 0.9})
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert events[0] == {"event": "begin", "step": 2}
    assert events[1] == {"event": "progress", "step": 3, "total_steps": 10, "epoch": 1, "loss": 0.5}
    assert events[2] == {"event": "epoch", "epoch": 1, "loss": 0.4, "head_accuracy": 0.9}


def test_plain_progress_tells_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    PlainNarrator().epoch({"epoch": 2, "step": 9, "loss": 0.5, "loss_raw": 0.5, "head_accuracy": 0.25})
    assert capsys.readouterr().err == "epoch 2: loss 0.5000 head_accuracy 0.2500\n"


def test_plain_progress_tells_the_time_left_by_the_steps_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("model.progress.time.monotonic", lambda: now)
    narrator = PlainNarrator()
    now = 1000.0  # data was read meanwhile
    narrator.begin(100)
    for step in range(101, 121):
        now += 0.5
        narrator.batch(step, 200, {"epoch": 1, "loss": 1.0})
    assert capsys.readouterr().err == (
        "step 110/200 epoch 1: loss 1.0000 ETA 45 s\nstep 120/200 epoch 1: loss 1.0000 ETA 40 s\n"
    )
