"""The queries that recall is measured with: exact truth, a sample of all rows however these grew, kept in snapshots."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index import factory
from index.backends import trial as trial_module
from index.backends.faiss_ivf import IvfPqIndex
from index.backends.rows import Rows
from index.backends.trial import TUNED_K, Trial, Trials, grow_trials, load_trials, make_trials, save_trials
from index.factory import build
from index.snapshot import Snapshot, load_snapshot, save_snapshot
from index.spec import IndexKind, IndexSpec
from index.types import Vectors

IVF = IndexSpec(kind=IndexKind.IVF_PQ)
DIM = 16


def make_vectors(n: int, seed: int = 0) -> Vectors:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, n // 12), DIM))
    vectors = centres[random.integers(0, len(centres), n)] + 0.3 * random.standard_normal((n, DIM))
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def assert_exact(trial: Trial) -> None:
    """The floors are the tenth best scores, in float64, of all rows but the query's own."""
    scores = trial.queries.astype(np.float64) @ trial.rows.vectors.T.astype(np.float64)
    asked = trial.own_rows >= 0
    scores[asked, trial.own_rows[asked]] = -np.inf
    np.testing.assert_allclose(trial.floors, np.sort(scores, axis=1)[:, -TUNED_K], atol=2e-6, rtol=0)


def of_saved(trials: Trials, folder: Path) -> Trials:
    save_trials(folder / "trials.npz", trials)
    return load_trials(folder / "trials.npz", trials[0].rows)


def test_the_truth_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "TRUTH_FLOATS", 20_000)  # several rounds over the rows
    rows = Rows(np.arange(3_000), make_vectors(3_000))
    own, outside = make_trials(rows, None)[1], make_trials(rows, make_vectors(50, seed=5))[0]
    assert_exact(own)
    assert_exact(outside)
    assert (own.own_rows >= 0).all() and (outside.own_rows < 0).all()


@pytest.mark.parametrize("looked_at", ["always", "now and then"])
def test_the_truth_stays_exact_while_rows_are_added(
    looked_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "TRUTH_FLOATS", 50_000)
    vectors = make_vectors(3_000)
    trials = make_trials(Rows(np.arange(1_000), vectors[:1_000]), None)
    for step, n in enumerate((1_001, 1_400, 1_400, 2_000, 2_900, 3_000)):
        if looked_at == "always" or step == 2:
            assert_exact(trials[0])
        before = trials[0].queries.copy(), trials[0].best.copy()
        trials = grow_trials(of_saved(trials, tmp_path), Rows(np.arange(n), vectors[:n]))
        assert_exact(trials[1])
        assert len(np.unique(trials[0].queries[:, 0])) == len(before[0])
    for trial in trials:
        assert_exact(trial)


def test_the_sample_is_one_of_all_rows_however_they_grew() -> None:
    vectors = make_vectors(4_000)
    trials = make_trials(Rows(np.arange(1_000), vectors[:1_000]), None)
    for n in range(1_500, 4_001, 500):
        trials = grow_trials(trials, Rows(np.arange(n), vectors[:n]))
    tuning, measuring = (trial.own_rows for trial in trials)
    assert len(tuning) == len(measuring) == 400
    of_quarters = np.bincount(np.concatenate([tuning, measuring]) // 1_000, minlength=4)
    assert (np.abs(of_quarters - 200) < 4 * np.sqrt(800 * 0.25 * 0.75)).all()
    assert np.mean(np.isin(tuning, measuring)) < 0.2  # what measures has not tuned


def test_what_is_kept_is_only_looked_at_where_rows_were_added(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, seen = make_vectors(4_000), list[tuple[int, int]]()
    trial = make_trials(Rows(np.arange(3_600), vectors[:3_600]), None)[0]
    _ = trial.floors
    look = trial_module.Trial._look

    def spy(self: Trial, asked: NDArray[np.intp], start: int) -> None:
        seen.append((len(asked), start))
        look(self, asked, start)

    monkeypatch.setattr(Trial, "_look", spy)
    grown = trial.grown(Rows(np.arange(4_000), vectors), np.random.default_rng(1))
    _ = grown.floors
    (anew, first), (kept, later) = seen
    assert (first, later, anew + kept) == (0, 3_600, 400)
    assert 15 <= anew <= 70  # a tenth of 400


def test_recall_is_told_at_every_build(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, measured = make_vectors(7_000), list[int]()

    def spy(index: IvfPqIndex, trial: Trial) -> float:
        measured.append(len(trial.rows))
        return 0.992

    monkeypatch.setattr(factory, "measure_recall", spy)
    index = build(np.arange(6_000), vectors[:6_000], IVF)
    spec = replace(IVF, nlist=index.spec.nlist)
    for n in (6_100, 6_900):
        index = build(np.arange(n), vectors[:n], spec, trained_from=index)
    build(np.arange(100, 7_000), vectors[100:], spec, trained_from=index)
    assert measured == [6_000, 6_100, 6_900, 6_900]


def test_a_snapshot_keeps_what_was_measured_with(tmp_path: Path) -> None:
    vectors = make_vectors(7_000)
    old = build(np.arange(6_000), vectors[:6_000], IVF)
    save_snapshot(tmp_path / "1", Snapshot(index=old, encoder_checksum="e", applied_seq=1))
    loaded = load_snapshot(tmp_path / "1", encoder_checksum="e", dim=DIM).index
    spec = replace(IVF, nlist=old.spec.nlist)
    grown, again = (build(np.arange(7_000), vectors, spec, trained_from=index) for index in (old, loaded))
    assert isinstance(grown, IvfPqIndex) and isinstance(again, IvfPqIndex)
    assert grown.trials is not None and again.trials is not None
    np.testing.assert_array_equal(again.trials[1].queries, grown.trials[1].queries)
    assert (again.spec, again.index_recall) == (grown.spec, grown.index_recall)


@pytest.mark.parametrize("change", ["gone", "another"])
def test_nothing_of_a_row_that_is_gone_is_kept(change: str) -> None:
    vectors = make_vectors(6_000)
    old = build(np.arange(6_000), vectors, IVF)
    ids, rest = np.arange(6_000), vectors.copy()
    if change == "gone":
        ids, rest = np.delete(ids, 17), np.delete(rest, 17, axis=0)
    else:
        rest[17] = rest[18]
    new = build(ids, rest, replace(IVF, nlist=old.spec.nlist), trained_from=old)
    assert isinstance(new, IvfPqIndex) and new.trials is not None
    fresh = make_trials(Rows(ids, rest), None)
    np.testing.assert_array_equal(new.trials[0].queries, fresh[0].queries)
    assert_exact(new.trials[1])


def test_trials_of_the_callers_queries_are_not_kept() -> None:
    vectors = make_vectors(6_000)
    index = build(np.arange(6_000), vectors, IVF, queries=make_vectors(50, seed=3))
    assert isinstance(index, IvfPqIndex)
    assert index.trials is None


def test_trials_of_other_rows_are_refused(tmp_path: Path) -> None:
    rows = Rows(np.arange(3_000), make_vectors(3_000))
    path = tmp_path / "trials.npz"
    trials = make_trials(rows, None)
    _ = trials[0].floors
    save_trials(path, trials)
    with pytest.raises(ValueError, match="not of 2000 rows of dim 16"):
        load_trials(path, Rows(rows.record_ids[:2_000], rows.vectors[:2_000]))
    np.savez(path, queries=trials[0].queries)
    with pytest.raises(ValueError, match="no trials"):
        load_trials(path, rows)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"no trials|pickled"):
        load_trials(path, rows)
