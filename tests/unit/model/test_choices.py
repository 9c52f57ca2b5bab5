"""What is left open follows the data, and what was set stays."""

import pytest

from model.config import Config, Objective, make_config
from model.data.choices import Kind, Shape, settle


def groups(sizes: list[int]) -> Shape:
    return Shape(Kind.GROUPS, sizes, sum(sizes))


@pytest.mark.parametrize(
    ("sizes", "objective", "bag_weight", "epochs", "batch_size"),
    [
        ([2, 3, 2] * 200, Objective.IN_BATCH, 0.5, 17, 128),
        ([10] * 128, Objective.JOINT, 1.0, 19, 128),
        ([100] * 77, Objective.HEAD, 1.0, 8, 64),
        ([3] * 20, Objective.JOINT, 1.0, 25, 128),
    ],
)
def test_what_is_left_open_follows_the_group_sizes(
    sizes: list[int], objective: Objective, bag_weight: float, epochs: int, batch_size: int
) -> None:
    settled, said = settle(Config(), groups(sizes), has_valid=False)
    assert (settled.objective, settled.bag_weight) == (objective, bag_weight)
    assert (settled.epochs, settled.batch_size) == (epochs, batch_size)
    assert settled.table_start == ("random" if objective is Objective.IN_BATCH else "lexical")
    assert settled.word_dim == 256
    assert settled.temperature == (0.1 if objective is Objective.IN_BATCH else 0.05)
    assert settled.refit
    assert not settle(Config(), groups(sizes), has_valid=True)[0].refit
    assert f"objective {objective}: {len(sizes)} groups" in said


def test_several_labels_a_sentence_are_their_own_objective() -> None:
    settled, said = settle(Config(), Shape(Kind.LABELS, [10, 20], 25), has_valid=True)
    assert settled.objective is Objective.MULTI_LABEL
    assert "2 labels, median 15 sentences" in said


def test_very_many_class_vectors_are_sampled() -> None:
    config = Config(objective=Objective.HEAD)
    assert settle(config, groups([4] * 10_001), has_valid=True)[0].sampled_negatives == 1000
    assert settle(config, groups([4] * 10_000), has_valid=True)[0].sampled_negatives == 0
    assert (
        settle(Config(objective=Objective.HEAD, sampled_negatives=0), groups([4] * 20_000), has_valid=True)[
            0
        ].sampled_negatives
        == 0
    )


def test_a_large_set_is_not_trained_twice_unasked() -> None:
    assert not settle(Config(), groups([1000] * 21), has_valid=False)[0].refit
    assert settle(Config(refit=True), groups([1000] * 21), has_valid=True)[0].refit


def test_what_was_set_stays_even_at_its_default() -> None:
    config = make_config("default", ["objective=in_batch", "epochs=8", "batch_size=64", "bag_weight=1"])
    settled, said = settle(config, groups([10] * 128), has_valid=True)
    assert (settled.epochs, settled.batch_size, settled.bag_weight) == (8, 64, 1.0)
    assert "objective in_batch, as set" in said
