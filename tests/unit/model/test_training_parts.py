"""Settings, data, schedule and vocabulary: the parts around the loop."""

from pathlib import Path

import numpy as np
import pytest

from model.choices import settle
from model.config import Config, Objective, Split, make_config
from model.contract.dataset import Row
from model.contract.errors import DatasetError
from model.data import load_training_data, split
from model.errors import ConfigError, TrainingError
from model.schedule import learning_rate
from model.vocabulary import build_contract


def rows_of(sizes: list[int]) -> list[Row]:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    return [Row(line=line, text=f"text {line}", group=group) for line, group in enumerate(groups, start=2)]


def test_settings_change_a_recipe() -> None:
    config = make_config("classic", ["epochs=3", "bidirectional=true", "pooling=mean", "learning_rate=1e-4"])
    assert (config.epochs, config.bidirectional, config.pooling, config.learning_rate) == (3, True, "mean", 1e-4)
    assert config.buckets == 0  # still the recipe's


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("defualt", "epochs=1", "no recipe 'defualt'; did you mean 'default'"),
        ("default", "epoch=1", "no setting 'epoch'; did you mean 'epochs'"),
        ("default", "learning_rat=1", "did you mean 'learning_rate'"),
        ("default", "epochs", "write name=value"),
        ("default", "epochs=0", "greater than or equal to 1"),
        ("default", "epochs=many", "--set epochs=many"),
        ("default", "pooling=best", "'max', 'mean' or 'last'"),
    ],
)
def test_unusable_settings_name_the_remedy(recipe: str, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(recipe, [setting])


@pytest.mark.parametrize(
    ("sizes", "objective", "bag_weight", "epochs", "batch_size"),
    [
        ([2, 3, 2] * 200, Objective.IN_BATCH, 0.0, 17, 128),
        ([10] * 128, Objective.JOINT, 1.0, 19, 128),
        ([100] * 77, Objective.HEAD, 1.0, 8, 64),
        ([3] * 20, Objective.JOINT, 1.0, 25, 128),
    ],
)
def test_what_is_left_open_follows_the_group_sizes(
    sizes: list[int], objective: Objective, bag_weight: float, epochs: int, batch_size: int
) -> None:
    settled, said = settle(Config(), sizes, has_valid=False)
    assert (settled.objective, settled.bag_weight) == (objective, bag_weight)
    assert (settled.epochs, settled.batch_size) == (epochs, batch_size)
    small = objective is Objective.JOINT
    assert (settled.table_start, settled.word_dim) == (("lexical", 256) if small else ("random", 128))
    assert settled.refit
    assert not settle(Config(), sizes, has_valid=True)[0].refit
    assert f"objective {objective}: {len(sizes)} groups" in said


def test_a_large_set_is_not_trained_twice_unasked() -> None:
    assert not settle(Config(), [1000] * 21, has_valid=False)[0].refit
    assert settle(Config(refit=True), [1000] * 21, has_valid=True)[0].refit


def test_what_was_set_stays_even_at_its_default() -> None:
    config = make_config("default", ["objective=in_batch", "epochs=8", "batch_size=64", "bag_weight=1"])
    settled, said = settle(config, [10] * 128, has_valid=True)
    assert (settled.epochs, settled.batch_size, settled.bag_weight) == (8, 64, 1.0)
    assert "objective in_batch, as set" in said


def test_a_split_by_group_keeps_groups_whole_and_one_by_row_keeps_two() -> None:
    rows = rows_of([5] * 40)
    train, valid = split(rows, Config(split=Split.GROUPS), seed=1)
    assert {row.group for row in train}.isdisjoint({row.group for row in valid})
    assert len(train) + len(valid) == 200
    assert 20 <= len(valid) < 25
    train, valid = split(rows_of([2] * 10 + [30]), Config(split=Split.ROWS), seed=1)
    assert {row.group for row in valid} == {"g10"}
    assert len(valid) == 5


def test_the_split_is_seeded() -> None:
    rows = rows_of([5] * 40)
    first, again, other = (split(rows, Config(split=Split.ROWS), seed=seed)[1] for seed in (3, 3, 4))
    assert first == again != other


def write(tmp_path: Path, content: str, name: str = "a.tsv") -> Path:
    path = tmp_path / name
    path.write_text(content)
    return path


def test_what_is_odd_about_the_data_is_said(tmp_path: Path) -> None:
    body = "".join(f"g{number}\tsentence {number} {copy}\n" for number in range(4) for copy in range(12))
    path = write(tmp_path, f"group\ttext\n{body}g1\tsame\ng2\tSame!\nlonely\tonly one\n\tno group\ng1\n")
    data = load_training_data(path, None, None, Config(), seed=0)
    said = "\n".join(data.findings)
    assert "1 texts stand in more than one group (lines 50, 51)" in said
    assert "1 groups have one sentence only" in said
    assert "1 rows without a group count as out of scope" in said
    assert "line 54 left out: 1 cells where the header has 2" in said
    assert data.out_of_scope == ["no group"]
    assert [data.labels[index] for index in data.train_indices] == [row.group for row in data.train]


def test_one_group_is_no_training_set(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at least two groups, found 1: \['g'\]"):
        load_training_data(write(tmp_path, "group\ttext\ng\ta\ng\tb\ng\tc\n"), None, None, Config(), seed=0)
    with pytest.raises(DatasetError, match="no column group"):
        load_training_data(write(tmp_path, "text\na\n"), None, None, Config(), seed=0)


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = Config(learning_rate=1.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, config) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10:] == pytest.approx([0.5 * (1 + np.cos(np.pi * n / 90)) for n in range(91)])
    assert rates[100] == pytest.approx(0, abs=1e-12)
    constant = make_config("classic")
    assert {learning_rate(step, 10, constant) for step in range(10)} == {1e-3}


def test_the_vocabulary_is_by_frequency_and_per_script() -> None:
    contract = build_contract(["b b a 退款", "B 退 c", "c"], Config(min_frequency=2, min_frequency_cjk=2))
    assert contract.vocabulary == ("b", "c", "退")
