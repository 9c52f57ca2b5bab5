"""Every method as an option of a whole run: it trains, its figures are logged, and its bundle loads."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.callbacks.interface import Callback, TrainingRun
from model.config import ProgressForm, make_config
from model.contract.bundle import Bundle
from model.data.training_data import Files, load_training_data
from model.run import RunOptions, prepared_folder, run_training

METHODS = {
    "margin_loss=arcface": [],
    "margin_loss=a_softmax": ["margin=2"],
    "margin_loss=simpler_a_softmax": [],
    "margin_loss=normalised_softmax": ["scale_mode=adacos"],
    "sub_centers=3": [],
    "sampled_negatives=15": [],
    "false_negative_threshold=0.8": [],
    "head_learning_rate=0.01": [],
    "loss=focal": [],
    "loss=soft_truncation": [],
    "loss=hard_truncation": [],
    "label_smoothing=0.01": [],
    "class_weight=balanced": [],
    "class_weight=effective_number": [],
    "sampler=class_balanced": [],
    "sampler=pk": [],
    "max_per_group=3": [],
    "logit_adjustment=loss": [],
    "logit_adjustment=posthoc": [],
    "rdrop_alpha=1": [],
    "rdrop_on=embeddings": ["rdrop_alpha=1"],
    "flood_level=8": [],
    "flood_mode=instance": ["flood_level=8"],
    "center_loss_weight=0.1": [],
    "weight_constraint=unit_norm": [],
    "weight_constraint=max_norm": ["constraint_target=bag"],
    "weight_constraint=spectral_norm": ["constraint_by=parametrisation"],
    "weight_decay=0.01": [],
    "embedding_noise_std=0.1": [],
    "ema_decay=0.9": [],
    "gradient_accumulation_steps=2": [],
    "precision=bfloat16": [],
    "precision=float16": [],
    "schedule=step": [],
    "patience=1": [],
    "monitor=knn5": [],
    "objective=joint": ["rdrop_alpha=1"],
    "objective=in_batch": ["hard_batches=true"],
    "objective=sim_cse": [],
    "num_layers=2": [],
    'hyperparameter_schedules={"outlier_exposure_weight": [[0.3, 0], [0.6, 1]]}': [],
    "outlier_exposure_weight=1": ["objective=in_batch", "center_loss_weight=1"],
}


def train(files: Files, out: Path, *settings: str, callbacks: tuple[Callback, ...] = ()) -> Bundle:
    """A run of the smoke recipe in this process."""
    config = make_config("smoke", ["refit=false", *settings])
    options = RunOptions(progress=ProgressForm.PLAIN, callbacks=callbacks)
    with prepared_folder(out, resume=False):
        finished = run_training(load_training_data(files, config, 0), out, options)
    assert finished is not None
    return finished.bundle


def epochs_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("setting", METHODS)
def test_each_method_trains_and_exports(small_data: Path, tmp_path: Path, setting: str) -> None:
    own = any(name.startswith("objective") for name in (setting, *METHODS[setting]))
    objective = [] if own else ["objective=head"]
    bundle = train(Files(small_data), tmp_path / "r", *objective, setting, *METHODS[setting], "epochs=3")
    losses = [epoch["loss"] for epoch in epochs_of(tmp_path / "r")]
    assert losses[-1] < losses[0]
    assert bundle.encoder.encode(["你好", "hello"]).shape == (2, bundle.manifest.dim)
    assert bundle.manifest.config[setting.split("=")[0]] is not None


def test_the_figures_of_a_method_are_logged_by_name(small_data: Path, tmp_path: Path) -> None:
    settings = ("objective=joint", "rdrop_alpha=1", "flood_level=100", "center_loss_weight=0.1", "scale_mode=adacos")
    train(Files(small_data), tmp_path / "r", *settings)
    epoch = epochs_of(tmp_path / "r")[0]
    names = {"loss", "loss_raw", "rdrop_kl", "flooded_share", "center_loss", "scale", "pair_loss", "train_accuracy"}
    assert names <= epoch.keys()
    assert all(math.isfinite(value) for value in epoch.values())
    assert epoch["flooded_share"] == 1.0
    # flooded at 100, the loss is 200 less the raw one, and the other terms come on top
    total = 200 - epoch["loss_raw"] + epoch["rdrop_kl"] + 0.1 * epoch["center_loss"]
    assert epoch["loss"] == pytest.approx(total, rel=1e-5)


def test_out_of_scope_rows_are_learnt_from(small_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "with.tsv"
    lines = small_data.read_text().splitlines()
    columns = lines[0].split("\t")
    blank = {"text": "what a lovely day {n}"}
    strangers = ["\t".join(blank.get(name, "").format(n=n) for name in columns) for n in range(20)]
    data.write_text("\n".join([*lines, *strangers]) + "\n")
    # a cosine that untrained sentences are above, so that there is something to learn at once
    settings = ("objective=head", "outlier_exposure_weight=1", "no_match_cosine=0.05", "epochs=4")
    train(Files(data), tmp_path / "r", *settings)
    losses = [epoch["outlier_loss"] for epoch in epochs_of(tmp_path / "r")]
    assert losses[-1] < losses[0]


def test_unlabelled_sentences_are_learnt_from(small_data: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.tsv"
    more.write_text("text\n" + "".join(f"where is my parcel number {n}\n" for n in range(30)))
    settings = ("objective=head", "rdrop_unlabelled_weight=1")
    train(Files(small_data, unlabelled=more), tmp_path / "r", *settings)
    assert epochs_of(tmp_path / "r")[0]["rdrop_unlabelled_kl"] > 0


def test_sentences_without_groups_train_an_encoder(tmp_path: Path, small_data: Path) -> None:
    texts = [line.split("\t")[2] for line in small_data.read_text().splitlines()[1:]]
    path = tmp_path / "texts.tsv"
    path.write_text("text\n" + "\n".join(texts) + "\n")
    bundle = train(Files(path), tmp_path / "r", "objective=sim_cse", "epochs=3")
    assert (bundle.head, bundle.manifest.n_labels) == (None, 0)
    vectors = bundle.encoder.encode(texts[:50])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


class Watching(Callback):
    """Writes down its moments."""

    def __init__(self) -> None:
        self.moments: list[str] = []

    def on_train_begin(self, run: TrainingRun) -> None:
        self.moments.append("train")

    def on_epoch_begin(self, run: TrainingRun) -> None:
        self.moments.append(f"epoch {run.state.position.epoch}")

    def on_batch_begin(self, run: TrainingRun) -> None:
        self.moments.append("batch")

    def on_batch_end(self, run: TrainingRun) -> None:
        assert math.isfinite(run.scalars["loss"])
        self.moments.append("end of batch")

    def on_step_end(self, run: TrainingRun) -> None:
        self.moments.append("step")

    def on_evaluated(self, run: TrainingRun) -> None:
        self.moments.append("evaluated")
        run.stop = run.metrics["epoch"] == 2

    def on_epoch_end(self, run: TrainingRun) -> None:
        self.moments.append("end of epoch")

    def on_train_end(self, run: TrainingRun) -> None:
        self.moments.append("end")


def test_callbacks_see_every_moment_in_order_and_may_stop_the_run(small_data: Path, tmp_path: Path) -> None:
    watching = Watching()
    settings = ("objective=head", "epochs=5", "batch_size=100", "gradient_accumulation_steps=2")
    train(Files(small_data), tmp_path / "r", *settings, callbacks=(watching,))
    batches = ["batch", "end of batch", "batch", "step", "end of batch"]
    n_batches = watching.moments[: watching.moments.index("evaluated")].count("batch")
    epoch = (batches * n_batches)[: 5 * (n_batches // 2)] + ["batch", "step", "end of batch"] * (n_batches % 2)
    rest = ["evaluated", "end of epoch"]
    assert watching.moments == ["train", "epoch 0", *epoch, *rest, "epoch 1", *epoch, *rest, "end"]


def test_the_callback_of_the_documentation_works(small_data: Path, tmp_path: Path, trainer) -> None:  # type: ignore[no-untyped-def]
    page = (Path(__file__).parents[3] / "docs" / "methods.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "mine.py").write_text(code.replace(">= 0.9", ">= 0.0"))
    command = [
        sys.executable,
        "-m",
        "model",
        "train",
        str(small_data),
        "--out",
        str(tmp_path / "r"),
        "--recipe",
        "smoke",
    ]
    command += ["--set", "epochs=4", "--set", "refit=false", "--callback", "mine:StopWhenGood", "--progress", "json"]
    paths = [str(Path(__file__).parents[3]), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert len(epochs_of(tmp_path / "r")) == 1
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1]


def test_two_processes_learn_what_one_does(small_data: Path, tmp_path: Path, trainer) -> None:  # type: ignore[no-untyped-def]
    """Without dropout the loss curve is the same: negatives, means and the flooding's sign are of the whole batch."""
    settings = ["refit=false", "embedding_dropout=0", "objective=joint", "flood_level=60", "epochs=3", "ema_decay=0.9"]
    settings.append("checkpoint_every_s=0.03")  # often, and each process has a clock of its own
    options = [part for setting in settings for part in ("--set", setting)]
    trainer("train", small_data, "--out", tmp_path / "one", "--recipe", "smoke", *options)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "model", "train", str(small_data), "--out", str(tmp_path / "two"), "--recipe", "smoke", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    one, two = epochs_of(tmp_path / "one"), epochs_of(tmp_path / "two")
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        for name in alone:
            assert shared[name] == pytest.approx(alone[name], rel=1e-4), name
