"""Groups that come after the training: half of a set's groups are learnt, the others stored later, and both asked for.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_newcomers [--only clinc150 ...] [--seeds 2]

Trains the default recipe on a few sentences of each learnt group, then decides as :classify does on the test sentences
of all groups and on strangers. Beside it the nearest record by TF-IDF of the same records.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.bench_train import run
from benchmarks.data import data_folder, read_texts
from model.contract.bundle import Bundle, load_bundle
from model.contract.dataset import read_rows
from model.contract.deciding.decision import Decision, Outcome, decide
from model.evaluation.baseline import nearest_by_tfidf
from model.evaluation.calibrate import Sentences, gather_candidates

_MOST_STRANGERS = 1000


@dataclass(frozen=True, slots=True)
class Rows:
    """Sentences and their groups."""

    texts: list[str]
    groups: list[str]

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.texts + other.texts, self.groups + other.groups)

    @classmethod
    def read(cls, path: Path) -> "Rows":
        rows = read_rows(path).rows
        return cls([row.text for row in rows], [row.group or "" for row in rows])

    def of(self, groups: set[str]) -> "Rows":
        """Those of some groups."""
        kept = [row for row, group in enumerate(self.groups) if group in groups]
        return Rows([self.texts[row] for row in kept], [self.groups[row] for row in kept])

    def few(self, most: int, rng: np.random.Generator) -> "Rows":
        """As many of each group, drawn at random."""
        by_group: dict[str, list[int]] = defaultdict(list)
        for row in rng.permutation(len(self.groups)).tolist():
            by_group[self.groups[row]].append(row)
        kept = sorted(row for rows in by_group.values() for row in rows[:most])
        return Rows([self.texts[row] for row in kept], [self.groups[row] for row in kept])


SETS = {
    "clinc150": (10, "clinc150/oos_test.tsv"),
    "banking77": (10, "clinc150/oos_test.tsv"),
    "massive_zh": (20, "tatoeba_zh_groups/train.tsv"),
    "massive_en": (20, "clinc150/oos_test.tsv"),
}
"""Sentences of each group that are learnt or stored, and where strangers are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    folder = data_folder()
    for name in options.only or SETS:
        runs = []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as work:
                runs.append(measure(folder, name, Path(work), seed))
            print(json.dumps({"set": name, "seed": seed, **runs[-1]}), flush=True)
        print(name, {figure: round(mean(each[figure] for each in runs), 1) for figure in runs[0]}, flush=True)


def measure(folder: Path, name: str, work: Path, seed: int) -> dict[str, float]:
    """Percentages of one run; the same groups are learnt with every seed, other sentences of them."""
    most, where = SETS[name]
    train, test = (Rows.read(folder / name / f"{part}.tsv") for part in ("train", "test"))
    groups = np.random.default_rng(7).permutation(sorted(set(train.groups))).tolist()
    learnt, newer = set(groups[: len(groups) // 2]), set(groups[len(groups) // 2 :])
    stored = train.few(most, np.random.default_rng(seed))
    known, late = stored.of(learnt), stored.of(newer)
    path = work / "learnt.tsv"
    path.write_text("group\ttext\n" + "".join(map("{}\t{}\n".format, known.groups, known.texts)))
    run("train", path, "--out", work / "run", "--seed", str(seed))
    bundle = load_bundle(work / "run" / "bundle")
    strangers = read_texts(folder / where)[:_MOST_STRANGERS]
    asked, asked_late = test.of(learnt), test.of(newer)
    before = _decide(bundle, asked.texts, known)
    after, of_late = (_decide(bundle, rows.texts, known + late) for rows in (asked, asked_late))
    refused, refused_after = (_decide(bundle, strangers, rows) for rows in (known, known + late))
    return {
        "learnt first before": _share(before, asked.groups),
        "learnt first": _share(after, asked.groups),
        "newcomers first": _share(of_late, asked_late.groups),
        "learnt answered before": _share(before, asked.groups, answered=True),
        "learnt answered": _share(after, asked.groups, answered=True),
        "newcomers answered": _share(of_late, asked_late.groups, answered=True),
        "strangers refused before": 100 * mean(one.outcome is Outcome.NO_MATCH for one in refused),
        "strangers refused": 100 * mean(one.outcome is Outcome.NO_MATCH for one in refused_after),
        "learnt first by TF-IDF": _share_by_tfidf(asked, known + late),
        "newcomers first by TF-IDF": _share_by_tfidf(asked_late, known + late),
    }


def _decide(bundle: Bundle, texts: Sequence[str], stored: Rows) -> list[Decision]:
    parameters = bundle.manifest.decision
    gatherer = bundle.gatherer(bundle.deciding_head(set(stored.groups)), parameters)
    asked = Sentences(texts, bundle.encoder.encode(texts), [None] * len(texts))
    among = Sentences(stored.texts, bundle.encoder.encode(stored.texts), stored.groups)
    return [decide(found.evidence, parameters) for found in gather_candidates(asked, among, gatherer)]


def _share(decisions: Sequence[Decision], groups: Sequence[str], *, answered: bool = False) -> float:
    """Percentage whose right group comes first, and with `answered` is the answer."""
    return 100 * mean(
        bool(one.groups) and one.groups[0].group == group and not (answered and one.outcome is Outcome.NO_MATCH)
        for one, group in zip(decisions, groups, strict=True)
    )


def _share_by_tfidf(asked: Rows, stored: Rows) -> float:
    nearest = nearest_by_tfidf(stored.texts, asked.texts)
    return 100 * mean(stored.groups[row] == group for row, group in zip(nearest, asked.groups, strict=True))


if __name__ == "__main__":
    main()
