"""A training with keep_out: nothing of the sentences that are kept out reaches the bundle, by whichever file."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.config import make_config
from model.contract.bundle import load_bundle
from model.contract.keep_out import is_kept_out
from model.data.training_data import Files, load_training_data

SHARE = 0.3
N = 160


def sentence(number: int, kind: str = "r") -> dict[str, Any]:
    """Each has a word of its own, by which it would be known."""
    return {"id": f"{kind}{number}", "text": f"topic{number % 4} unique{kind}{number}", "group": f"g{number % 4}"}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps({"role": "example", **row}) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Records of a collection: of groups, out of scope, and without a group; and files of a user's own."""
    folder = tmp_path_factory.mktemp("data")
    strangers = [{**sentence(n, "s"), "group": None, "role": "out_of_scope"} for n in range(60)]
    free = [{**sentence(n, "f"), "group": None} for n in range(60)]
    return Files(
        write(folder / "rows.ndjson", [*(sentence(n) for n in range(N)), *strangers, *free]),
        valid=write(folder / "valid.ndjson", [sentence(n, "v") for n in range(60)]),
        out_of_scope=write(folder / "oos.ndjson", [{**sentence(n, "o"), "group": None} for n in range(60)]),
        unlabelled=write(folder / "plain.ndjson", [{**sentence(n, "u"), "group": None} for n in range(60)]),
    )


def own_word(text: str) -> str:
    return text.split()[1]


def test_no_file_gives_a_sentence_that_is_kept_out(files: Files) -> None:
    settings = (f"keep_out={SHARE}", "rdrop_unlabelled_weight=1", "rdrop_alpha=1", "objective=head")
    data = load_training_data(files, make_config("smoke", settings), 0)
    whole = load_training_data(files, make_config("smoke", settings[1:]), 0)
    for name in ("train", "valid", "out_of_scope", "unlabelled"):
        kept, all_ = (
            {row if isinstance(row, str) else row.text for row in getattr(some, name)} for some in (data, whole)
        )
        assert kept == {text for text in all_ if not is_kept_out(text, SHARE)}, name
        assert 0 < len(kept) < len(all_), name


def test_records_out_of_scope_choose_thresholds_and_free_examples_do_nothing(files: Files) -> None:
    data = load_training_data(Files(files.data), make_config("smoke", (f"keep_out={SHARE}",)), 0)
    assert any(f"sentences are kept out (keep_out={SHARE})" in finding for finding in data.findings)
    used = {row.text for row in (*data.train, *data.valid)}
    assert {own_word(text)[6] for text in used} == {"r"}
    assert data.out_of_scope and {own_word(text)[6] for text in data.out_of_scope} == {"s"}


@pytest.mark.parametrize("refit", ["false", "true"])
def test_no_word_of_a_sentence_that_is_kept_out_is_in_the_bundle(  # type: ignore[no-untyped-def]
    files: Files, tmp_path: Path, trainer, refit: str
) -> None:
    options = ("--recipe", "smoke", "--set", f"refit={refit}", "--set", f"keep_out={SHARE}", "--set", "min_frequency=1")
    trainer("train", files.data, "--out", tmp_path / "run", *options)
    bundle = load_bundle(tmp_path / "run" / "bundle")
    words = set((tmp_path / "run" / "bundle" / "vocab.txt").read_text().split())
    rows = [sentence(n) for n in range(N)]
    kept_out = {own_word(row["text"]) for row in rows if is_kept_out(row["text"], SHARE)}
    learned = {own_word(row["text"]) for row in rows} - kept_out
    assert kept_out and not kept_out & words
    assert len(learned & words) > (0.99 if refit == "true" else 0.5) * len(learned), "or no word would be there anyway"
    assert bundle.manifest.config["keep_out"] == SHARE
    assert bundle.manifest.dataset.n_sentences <= len(learned)
    for written in (tmp_path / "run").rglob("*"):
        if written.is_file() and written.suffix in (".json", ".html", ".txt", ".jsonl"):
            text = written.read_text(errors="replace")
            assert not [word for word in kept_out if f"{word} " in text or f"{word}<" in text or f'{word}"' in text]
