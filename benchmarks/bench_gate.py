"""Whether the gate lets pass what is as good and refuses what is worse, on public data.

SAMESAY_BENCH_DATA=... python -m benchmarks.bench_gate [--only banking77 ...] [--seeds 11] [--jobs 2] [--work FOLDER]

Every bundle is trained on the same rows but for a tenth that is kept out, and each pair of them is judged by that
tenth. The trainings are short (SETTINGS): nothing of the gate depends on how good they are. With --work the bundles
stay there, and those that are there already are not trained again.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

from benchmarks.bench_train import run
from benchmarks.data import data_folder
from model.config import GateRules
from model.contract.bundle import load_bundle
from model.contract.dataset import OUT_OF_SCOPE, Row, read_rows
from model.contract.keep_out import KEPT_OUT
from model.judging.answers import answer
from model.judging.rows import JudgedRows, part
from model.judging.verdict import Side, compare

DATA = ("banking77", "clinc150", "massive_en")
SETTINGS = ("epochs=3", "refit=false", "word_dim=128", "threads=1", f"keep_out={KEPT_OUT}")
MERGED = 0.1
ALPHAS = (0.05, 0.02, 0.01, 0.005)

Rows = list[Row]


def rows_of(folder: Path) -> Rows:
    """Training and validation rows, and sentences out of scope where there are some, as a service holds them."""
    examples = [row for name in ("train.tsv", "valid.tsv") for row in read_rows(folder / name).rows]
    strangers = [row for name in ("oos_train.tsv", "oos_valid.tsv") for row in _read(folder / name)]
    rows = [replace(row, role="example") for row in examples]
    rows += [replace(row, group=None, role=OUT_OF_SCOPE) for row in strangers]
    return [replace(row, id=f"r{number}") for number, row in enumerate(rows)]


def shuffled(rows: Rows) -> Rows:
    """The same sentences, each in a group drawn at random."""
    groups = [row.group for row in rows if row.group is not None]
    random.Random(1).shuffle(groups)
    drawn = iter(groups)
    return [row if row.group is None else replace(row, group=next(drawn)) for row in rows]


def merged(rows: Rows) -> Rows:
    """A tenth of the groups, each called as another."""
    groups = sorted({row.group for row in rows if row.group is not None})
    random.Random(2).shuffle(groups)
    n = round(MERGED * len(groups))
    other = dict(zip(groups[:n], groups[n : 2 * n], strict=True))
    return [replace(row, group=other.get(row.group or "", row.group)) for row in rows]


def mislabelled(rows: Rows) -> Rows:
    """A tenth of the sentences in a group drawn at random."""
    rng = random.Random(3)
    groups = sorted({row.group for row in rows if row.group is not None})
    return [replace(row, group=rng.choice(groups)) if row.group and rng.random() < MERGED else row for row in rows]


SPOILT: dict[str, tuple[Callable[[Rows], Rows], tuple[str, ...]]] = {
    "labels shuffled": (shuffled, ()),
    "10 % of the groups merged wrongly": (merged, ()),
    "10 % of the sentences in a wrong group": (mislabelled, ()),
    "one epoch instead of three": (list, ("epochs=1",)),
}


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """As a service freezes its records."""
    lines = (
        json.dumps({"id": row.id, "text": row.text, "group": row.group, "labels": [], "role": row.role}) for row in rows
    )
    path.write_text("\n".join(lines) + "\n")


def train(work: Path, name: str, rows: Rows, seed: int, settings: Sequence[str]) -> Path:
    """A bundle, unless it is there."""
    folder = work / name.replace(" ", "_").replace("%", "percent")
    if not (folder / "run/bundle/manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(folder / "rows.ndjson", rows)
        options = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
        options += ["--resume"] if (folder / "run/config.json").exists() else []
        run("train", folder / "rows.ndjson", "--out", folder / "run", "--seed", str(seed), *options)
    return folder / "run/bundle"


def train_all(work: Path, rows: Rows, n_seeds: int, jobs: int) -> dict[str, Path]:
    """The bundles of all seeds, and the spoilt ones."""
    tasks: list[tuple[str, Rows, int, tuple[str, ...]]] = []
    tasks += [(f"seed {seed}", rows, seed, ()) for seed in range(n_seeds)]
    tasks += [(name, spoil(rows), n_seeds, settings) for name, (spoil, settings) in SPOILT.items()]
    with ThreadPoolExecutor(jobs) as pool:
        bundles = list(pool.map(lambda task: train(work, *task), tasks))
    return dict(zip((task[0] for task in tasks), bundles, strict=True))


def report_pairs(sides: Mapping[str, Side], rows: JudgedRows, alphas: Sequence[float]) -> None:
    """How many candidates of the same data are accepted, by the chance of refusing that is set."""
    seeds = [name for name in sides if name.startswith("seed")]
    for alpha in alphas:
        passed = {
            (one, other): _verdict(sides[one], sides[other], rows, alpha)["passed"]
            for one, other in permutations(seeds, 2)
        }
        first = sum(passed[candidate, seeds[0]] for candidate in seeds[1:])
        every = f"{sum(passed.values())} of {len(passed)} ordered pairs"
        print(f"  alpha {alpha:<6} accepted: {first} of {len(seeds) - 1} beside {seeds[0]}, {every}", flush=True)


def report_spoilt(sides: Mapping[str, Side], rows: JudgedRows, alpha: float) -> None:
    """Beside how many of the seeds what was spoilt is refused, and what it reaches."""
    seeds = [name for name in sides if name.startswith("seed")]
    for name in sides:
        verdicts = [_verdict(sides[name], sides[seed], rows, alpha) for seed in seeds if seed != name]
        figures = "  ".join(f"{metric} {of['value']:.4f}" for metric, of in verdicts[0]["metrics"]["candidate"].items())
        refused = sum(not verdict["passed"] for verdict in verdicts)
        print(f"  {name:40} {figures}  refused beside {refused} of {len(verdicts)} seeds", flush=True)


def report_random_groups(bundle: Path, rows: Rows) -> None:
    """Where the records themselves have groups at random, there is nothing better to compare with."""
    judged = part(shuffled(rows), KEPT_OUT)
    side = Side(load_bundle(bundle), answer(load_bundle(bundle), judged, lambda n: None))
    verdict = _verdict(side, side, judged, GateRules().alpha)
    print(f"  records in groups at random: {'accepted' if verdict['passed'] else 'refused'}: {verdict['reasons']}")


def measure(name: str, folder: Path, work: Path, n_seeds: int, jobs: int) -> None:
    """Train what is not there, and judge each beside each."""
    rows = rows_of(folder / name)
    bundles = train_all(work / name, rows, n_seeds, jobs)
    judged = part(rows, KEPT_OUT)
    sides = {}
    for label, path in bundles.items():
        bundle = load_bundle(path)
        sides[label] = Side(bundle, answer(bundle, judged, lambda n: None))
    asked = f"{len(judged.asked)} sentences asked, {len(judged.strangers)} out of scope, {len(judged.stored)} stored"
    print(f"{name}: {asked}")
    report_pairs(sides, judged, ALPHAS)
    report_spoilt(sides, judged, GateRules().alpha)
    report_random_groups(bundles["labels shuffled"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    folder = data_folder()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.only:
            measure(name, folder, options.work or Path(temporary), options.seeds, options.jobs)


def _verdict(candidate: Side, active: Side, rows: JudgedRows, alpha: float) -> dict[str, Any]:
    return compare(candidate, active, rows, GateRules(alpha=alpha), share=KEPT_OUT)


def _read(path: Path) -> Rows:
    return read_rows(path).rows if path.exists() else []


if __name__ == "__main__":
    main()
