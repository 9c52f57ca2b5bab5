"""The public data sets, where SAMESAY_BENCH_DATA names their folder: read whole, and split without leaks."""

import os
from pathlib import Path

import pytest

from model.contract.dataset import read_rows, text_key

FOLDER = os.environ.get("SAMESAY_BENCH_DATA")

pytestmark = [
    pytest.mark.bench_data,
    pytest.mark.skipif(not FOLDER, reason="SAMESAY_BENCH_DATA is not set"),
]


@pytest.mark.parametrize(
    "name",
    ["banking77", "clinc150", "massive_en", "massive_zh", "massive_zh_paraphrase_groups", "tatoeba_bilingual_groups"],
)
def test_every_row_is_read_and_no_test_text_was_trained_on(name: str) -> None:
    folder = Path(FOLDER or "") / name
    files = {part: read_rows(folder / f"{part}.tsv", need=["group"]) for part in ("train", "valid", "test")}
    for part, file in files.items():
        lines = (folder / f"{part}.tsv").read_text().count("\n") - 1
        assert (len(file.rows), file.bad_rows) == (lines, []), part
    test = {text_key(row.text) for row in files["test"].rows}
    assert test.isdisjoint(text_key(row.text) for part in ("train", "valid") for row in files[part].rows)
