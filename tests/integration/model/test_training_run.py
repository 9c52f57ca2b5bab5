"""The trainer as a user runs it: a child process that may be killed at any moment."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from model.contract.bundle import load_bundle
from model.errors import RunFolderError
from model.run import prepared_folder
from tests.fakes.tiny_bundle import make_tiny_bundle

LONGER = ("--recipe", "smoke", "--set", "epochs=6", "--set", "checkpoint_every_s=0.02")


def start_training(data: Path, out: Path, *extra: str) -> "subprocess.Popen[bytes]":
    """Start it, and wait for its first checkpoint."""
    command = [sys.executable, "-m", "model", "train", str(data), "--out", str(out), *LONGER, *extra]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.safetensors").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    return process


def train_and_kill(data: Path, out: Path, seconds: float, *extra: str) -> None:
    """Start training and SIGKILL it the given time after its first checkpoint."""
    process = start_training(data, out, *extra)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)


EVERYTHING = (
    "objective=head",
    "sampled_negatives=15",
    "ema_decay=0.9",
    "rdrop_alpha=1",
    "gradient_accumulation_steps=2",
    "batch_size=16",
    "center_loss_weight=0.1",
    "precision=float16",
)


@pytest.mark.parametrize(
    "settings", [("objective=in_batch",), ("objective=joint",), EVERYTHING], ids=lambda s: s[0][10:]
)
def test_kill_9_and_resume_gives_the_same_bits(small_data: Path, trainer, tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    setting = tuple(part for setting in settings for part in ("--set", setting))
    trainer("train", small_data, "--out", tmp_path / "whole", *LONGER, *setting)
    killed = tmp_path / "killed"
    train_and_kill(small_data, killed, 0.1, *setting)
    assert not (killed / "bundle").exists(), "the run ended before it was killed; make it longer"
    train_and_kill(small_data, killed, 0.3, *setting, "--resume")
    trainer("train", small_data, "--out", killed, *LONGER, *setting, "--resume")
    whole, resumed = (load_file(run / "best.safetensors") for run in (tmp_path / "whole", killed))
    assert whole.keys() == resumed.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], resumed[name], err_msg=name)
    assert load_bundle(killed / "bundle").sha == load_bundle(tmp_path / "whole" / "bundle").sha


def test_two_trainings_of_one_folder_never_write_to_it_together(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """As where a worker that was taken for dead lives: its trainer and the next one's spoilt each other's files."""
    out = tmp_path / "r"
    outlasts = ("--set", "epochs=25")  # what the second needs to start
    first = start_training(small_data, out, *outlasts)
    second = start_training(small_data, out, *outlasts, "--resume")
    assert second.stderr is not None
    assert any(b"another process trains in" in line for line in second.stderr)
    assert first.poll() is None, "the run ended before; make it longer"
    first.kill()  # as its worker does
    first.communicate()
    said = second.communicate()[1]
    assert second.returncode == 0, said
    trainer("train", small_data, "--out", tmp_path / "whole", *LONGER, *outlasts)
    assert load_bundle(out / "bundle").sha == load_bundle(tmp_path / "whole" / "bundle").sha


def test_a_folder_that_another_training_holds_on_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.run._HELD_S", 0.3)
    with (
        prepared_folder(tmp_path / "r", resume=False),
        pytest.raises(RunFolderError, match=r"another process trains in .* give another --out"),
        prepared_folder(tmp_path / "r", resume=False),
    ):
        pass
    with prepared_folder(tmp_path / "r", resume=False):
        pass  # it ended before its first checkpoint


def test_a_bundle_is_the_same_wherever_it_was_trained(
    small_data: Path, smoke_bundle: Path, trainer, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    trainer("train", small_data, "--out", tmp_path / "again", "--recipe", "smoke")
    trainer("train", small_data, "--out", tmp_path / "other", "--recipe", "smoke", "--seed", "1")
    first, again, other = (
        load_bundle(b).sha for b in (smoke_bundle, tmp_path / "again/bundle", tmp_path / "other/bundle")
    )
    assert first == again != other


def test_the_run_folder_holds_what_it_promises(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = trainer("train", small_data, "--out", tmp_path / "r", "--recipe", "smoke")
    epochs = [json.loads(line) for line in (tmp_path / "r/metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert epochs[1]["loss"] < epochs[0]["loss"]
    assert json.loads((tmp_path / "r/config.json").read_text())["hidden_size"] == 16
    assert json.loads((tmp_path / "r/result.json").read_text())["bundle"] == load_bundle(tmp_path / "r/bundle").sha
    page = (tmp_path / "r/report.html").read_text()
    accuracy = json.loads((tmp_path / "r/result.json").read_text())["head_accuracy"]
    assert f"<b>{accuracy:.3f}</b><span>head_accuracy (watched)</span>" in page
    assert f"<title>epoch 2: {epochs[1]['loss']:.4g}</title>" in page
    for said in (
        "objective joint",
        "held out",
        "epoch 2: loss",
        "next: samesay encoders add",
        "to try: ",
        "report.html",
    ):
        assert said in done.stderr


def test_evaluate_prints_one_json_object(small_data: Path, smoke_bundle: Path, trainer) -> None:  # type: ignore[no-untyped-def]
    closed = json.loads(
        trainer("evaluate", smoke_bundle, small_data, "--against", small_data, "--json").stdout.splitlines()[-1]
    )
    assert closed["knn1"] == 1.0  # each sentence finds itself
    assert {"head_accuracy", "head_macro_f1", "knn5", "n"} <= closed.keys()
    open_set = json.loads(trainer("evaluate", smoke_bundle, small_data, "--json").stdout.splitlines()[-1])
    assert {"hit_rate@1", "hit_rate@5", "hit_rate@10", "mrr@10", "map@r"} <= open_set.keys()
    assert open_set["hit_rate@1"] < 1.0


def test_evaluate_counts_out_of_scope_sentences(small_data: Path, smoke_bundle: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    strangers = tmp_path / "strangers.tsv"
    strangers.write_text("text\nwhat is the weather\n今天天气如何\n")
    done = trainer("evaluate", smoke_bundle, small_data, "--against", small_data, "--out-of-scope", strangers, "--json")
    metrics = json.loads(done.stdout.splitlines()[-1])
    bundle = load_bundle(smoke_bundle)
    rows = [line.split("\t") for line in small_data.read_text().splitlines()[1:]]
    stored, groups = bundle.encoder.encode([row[2] for row in rows]), [row[0] for row in rows]
    decision, head = bundle.manifest.decision, bundle.head
    assert decision.word_weight == 0.5 and decision.newcomer_threshold is not None, "for groups that come later"
    assert head is not None

    def score(text: str) -> float:
        """The out-of-scope score by its definition; all groups of the samples are known to the head."""
        embedding = bundle.encoder.encode([text])[0]
        cosines, nearest = (head.weights @ embedding).astype(np.float64), float((stored @ embedding).max())
        scale = bundle.manifest.head_scale or 1.0
        energy = np.log(np.exp(scale * cosines).sum()) / scale
        return {
            "max_cosine": cosines.max(), "knn": nearest, "both": (cosines.max() + nearest) / 2, "energy": energy,
        }[decision.score]  # fmt: skip

    refused = [score(text) < decision.threshold for text in ("what is the weather", "今天天气如何")]
    assert metrics["oos_recall"] == np.mean(refused)
    assert metrics["n"] == len(groups)


def test_the_table_shows_the_baseline(small_data: Path, smoke_bundle: Path, trainer) -> None:  # type: ignore[no-untyped-def]
    shown = trainer("evaluate", smoke_bundle, small_data, "--against", small_data).stdout
    assert "TF-IDF baseline" in shown
    assert "head_accuracy" in shown


def test_labels_are_evaluated_beside_their_baseline(trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make_tiny_bundle(tmp_path / "b", sigmoid_labels=("money back", "log in"))
    rows = ["I want my money back\tmoney back", "I cannot log in\tlog in", "money back or log in\tmoney back|log in"]
    (tmp_path / "a.tsv").write_text("\n".join(["text\tlabels", *rows, "good morning\tnone"]) + "\n")
    shown = trainer("evaluate", tmp_path / "b", tmp_path / "a.tsv", "--against", tmp_path / "a.tsv").stdout
    cells = [cell.strip() for line in shown.splitlines() if "exact_match" in line for cell in line.split("│")]
    assert cells[3] == "1.0000"  # the baseline knows these sentences by heart
    done = trainer("evaluate", tmp_path / "b", tmp_path / "a.tsv", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["n"] == 4


def test_labels_need_a_bundle_that_learned_labels(smoke_bundle: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.tsv").write_text("text\tlabels\nx\ta\n")
    done = trainer("evaluate", smoke_bundle, tmp_path / "a.tsv", check=False)
    assert done.returncode == 1
    assert "labels need a bundle that learned labels" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "{data}", "--out", "{tmp}/r", "--set", "epoch=1"], "did you mean 'epochs'"),
        (["train", "{data}", "--out", "{tmp}/r", "--resume"], "holds no run to resume"),
        (["train", "{tmp}/none.tsv", "--out", "{tmp}/r"], "none.tsv cannot be read"),
        (["train", "{one}", "--out", "{tmp}/r"], "at least two groups"),
        (["train", "{data}", "--out", "{tmp}/r", "--callback", "nowhere:Mine"], "No module named 'nowhere'"),
        (["evaluate", "{tmp}", "{data}"], "holds no bundle"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(small_data: Path, trainer, tmp_path: Path, arguments, message) -> None:  # type: ignore[no-untyped-def]
    one = tmp_path / "one.tsv"
    one.write_text("group\ttext\ng\ta\ng\tb\n")
    done = trainer(*[a.format(data=small_data, tmp=tmp_path, one=one) for a in arguments], check=False)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_taken_run_folder_is_refused(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    trainer("train", small_data, "--out", tmp_path / "r", "--recipe", "smoke")
    again = trainer("train", small_data, "--out", tmp_path / "r", "--recipe", "smoke", check=False)
    assert again.returncode == 1
    assert "holds a run already" in again.stderr


@pytest.mark.parametrize("name", ["bundle", "report.html"])
def test_what_is_not_of_a_run_is_not_replaced(small_data: Path, trainer, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "r" / name).mkdir(parents=True)
    done = trainer("train", small_data, "--out", tmp_path / "r", "--recipe", "smoke", check=False)
    assert (done.returncode, f"holds {name}, which this run would replace" in done.stderr) == (1, True)
    assert (tmp_path / "r" / name).is_dir()


def test_other_settings_do_not_resume(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    train_and_kill(small_data, tmp_path / "r", 0.05)
    settings = (tmp_path / "r/config.json").read_text()
    done = trainer(
        "train", small_data, "--out", tmp_path / "r", *LONGER, "--set", "margin=0.1", "--resume", check=False
    )
    assert done.returncode == 1
    assert "other settings" in done.stderr
    assert (tmp_path / "r/config.json").read_text() == settings  # those to give


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = trainer(
        "train",
        small_data,
        "--out",
        tmp_path / "r",
        *LONGER,
        "--set",
        "learning_rate=1e20",
        "--set",
        "clip_norm=0",
        "--set",
        "checkpoint_every_s=1e-6",  # after each step: the second one may be the last
        check=False,
    )
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "the loss is nan at epoch" in said
    assert "and others; the last checkpoint is kept): start again with a lower learning_rate" in said
    assert (tmp_path / "r" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "r" / "bundle").exists()


def test_a_full_disk_is_an_error_and_the_run_resumes(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    train_and_kill(small_data, tmp_path / "r", 0.05)
    before = (tmp_path / "r" / "checkpoint.safetensors").read_bytes()
    for cut_off in (tmp_path / "r").glob(".*.tmp"):
        cut_off.unlink()  # by the kill: the next checkpoint would write over it
    command = f"{sys.executable} -m model train {small_data} --out {tmp_path / 'r'} {' '.join(LONGER)} --resume"
    full = subprocess.run(["bash", "-c", f"ulimit -f 20; exec {command}"], capture_output=True, text=True, check=False)
    assert full.returncode == 1
    assert "cannot be written: File too large; make room, then --resume" in full.stderr
    assert "Traceback" not in full.stderr
    assert (tmp_path / "r" / "checkpoint.safetensors").read_bytes() == before
    assert not list((tmp_path / "r").glob(".*.tmp"))
    trainer("train", small_data, "--out", tmp_path / "r", *LONGER, "--resume")


def test_a_disk_that_is_full_at_the_export_is_an_error_and_leaves_nothing(
    small_data: Path, smoke_bundle: Path, tmp_path: Path
) -> None:
    run = tmp_path / "r"
    shutil.copytree(smoke_bundle.parent, run)
    whole = load_bundle(run / "bundle").sha
    command = f"{sys.executable} -m model train {small_data} --out {run} --recipe smoke --resume"
    full = subprocess.run(["bash", "-c", f"ulimit -f 20; exec {command}"], capture_output=True, text=True, check=False)
    assert full.returncode == 1
    assert f"{run} cannot be written: File too large; make room, then the same command with --resume" in full.stderr
    assert not list(run.glob(".*"))
    assert load_bundle(run / "bundle").sha == whole


def test_a_run_that_ended_before_its_first_checkpoint_resumes_from_its_beginning(
    small_data: Path, smoke_bundle: Path, trainer, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    arguments = ("train", small_data, "--out", tmp_path / "r", "--recipe", "smoke")
    first = trainer(*arguments, "--set", "learning_rate=1e20", check=False)
    assert "no checkpoint yet" in first.stderr
    named = first.stderr.partition("of lines ")[2].partition(" and others")[0].split(", ")
    assert len({int(line) for line in named}) == 5
    assert {int(line) for line in named} <= set(range(2, 1 + len(small_data.read_text().splitlines())))
    trainer(*arguments, "--resume")
    assert load_bundle(tmp_path / "r" / "bundle").sha == load_bundle(smoke_bundle).sha


def test_a_seed_below_zero_is_refused(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = trainer("train", small_data, "--out", tmp_path / "r", "--seed", "-1", check=False)
    assert done.returncode == 2
    assert "Invalid value for '--seed'" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_says_how_to_go_on(small_data: Path, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    options = (*LONGER, "--set", "epochs=20")  # it must not be over before it hears
    command = [sys.executable, "-m", "model", "train", str(small_data), "--out", str(tmp_path / "r"), *options]
    # what runs in the background of a shell starts with SIGINT ignored, and so would this
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeds)
    deadline = time.monotonic() + 120
    while not (tmp_path / "r" / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: the same command with --resume" in said
    assert "Traceback" not in said
    trainer("train", small_data, "--out", tmp_path / "r", *options, "--resume")
