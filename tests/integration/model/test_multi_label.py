"""Several labels a sentence, from a file to a bundle."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score

from model.contract.bundle import load_bundle
from model.contract.text import TextConfig, TextContract
from model.data.label_targets import LabelTargets
from model.last_layer import fit_svms, fit_words

WORDS = {"refund": "money back please", "card": "my card number", "late": "parcel is late", "angry": "this is awful"}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sentences made of the phrases of their labels, some labels soft or unknown; a training and a test file."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("labels")
    names = list(WORDS)
    lines = []
    for number in range(400):
        chosen = [name for name in names if rng.random() < 0.35]
        text = " and ".join(rng.permutation([WORDS[name] for name in chosen])) or f"hello number {number}"
        written = [name if rng.random() < 0.9 else f"{name}=0.9" for name in chosen]
        if number % 20 == 0:
            missing = [name for name in names if name not in chosen][:1]
            written += [f"?{name}" for name in missing]
        lines.append(f"{text} {number}\t{'|'.join(written) or 'none'}")
    train, test = folder / "train.tsv", folder / "test.tsv"
    train.write_text("text\tlabels\n" + "\n".join(lines[:300]) + "\n")
    test.write_text("text\tlabels\n" + "\n".join(lines[300:]) + "\n")
    return train, test


@pytest.mark.parametrize(
    ("loss", "last_layer"),
    [
        ("zlpr", "trained"),
        ("bce", "trained"),
        ("soft_f1", "trained"),
        ("f1_weighted_bce", "trained"),
        ("bce", "svm"),
        ("zlpr", "svm_and_words"),
    ],
)
def test_labels_are_learnt_and_measured(labelled, trainer, tmp_path: Path, loss: str, last_layer: str) -> None:  # type: ignore[no-untyped-def]
    train, test = labelled
    settings = [f"multi_label_loss={loss}", f"last_layer={last_layer}", "epochs=6", "batch_size=64", "rdrop_alpha=1"]
    options = [part for setting in settings for part in ("--set", setting)]
    trainer("train", train, "--out", tmp_path / "r", "--recipe", "smoke", *options)
    printed = trainer("evaluate", tmp_path / "r" / "bundle", test, "--json").stdout
    metrics = json.loads(printed.splitlines()[-1])
    bundle = load_bundle(tmp_path / "r" / "bundle")
    assert bundle.head is None
    assert bundle.label_head is not None
    assert bundle.label_head.labels == tuple(sorted(WORDS))
    rows = [line.split("\t") for line in test.read_text().splitlines()[1:]]
    texts = [text for text, _ in rows]
    given = bundle.label_confidences(texts, bundle.encoder.encode(texts)) >= 0.5
    pieces = [labels.split("|") for _, labels in rows]
    true = np.array([[any(p.split("=")[0] == name for p in piece) for name in sorted(WORDS)] for piece in pieces])
    known = np.array([[f"?{name}" not in piece for name in sorted(WORDS)] for piece in pieces])
    assert metrics["micro_f1"] == pytest.approx(f1_score(true[known], given[known]))
    assert metrics["micro_f1"] > (0.6 if last_layer == "trained" else 0.95)


def test_training_measures_labels_as_the_bundle_gives_them(labelled, trainer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Of sentences too that the encoder knows nothing of: these get no label."""
    train, test = labelled
    valid = tmp_path / "valid.tsv"
    unknown = [f"{word}\t{label}\n" for word in ("ლამაზი", "ძალიან", "👍👍") for label in ("none", "angry")]
    valid.write_text(test.read_text() + "".join(unknown))
    done = trainer("train", train, "--out", tmp_path / "r", "--recipe", "smoke", "--valid", valid)
    measured = json.loads((tmp_path / "r" / "result.json").read_text())
    found = json.loads(trainer("evaluate", tmp_path / "r" / "bundle", valid, "--json").stdout.splitlines()[-1])
    assert {name: measured[name] for name in found if name != "n"} == pytest.approx(
        {name: value for name, value in found.items() if name != "n"}, abs=1e-6
    ), done.stderr


def test_the_last_layer_is_the_svm_of_each_label() -> None:
    """The hinge's optimality: no step in any direction makes the weighted squared hinge with its penalty smaller."""
    rng = np.random.default_rng(1)
    embeddings = rng.standard_normal((200, 6)).astype(np.float32)
    values = (embeddings @ rng.standard_normal((6, 2)) + rng.standard_normal((200, 2)) > 1).astype(np.float32)
    known = np.ones(values.shape, bool)
    known[:20, 1] = False
    weights, bias = fit_svms(embeddings, LabelTargets(values, known))
    for label in range(2):
        seen = known[:, label]
        sign = 2 * values[seen, label] - 1
        importance = np.where(sign > 0, np.sqrt((sign < 0).sum() / (sign > 0).sum()), 1.0)

        def objective(parameters: np.ndarray, seen=seen, sign=sign, importance=importance) -> float:  # type: ignore[no-untyped-def]
            slack = np.maximum(0, 1 - sign * (embeddings[seen] @ parameters[:-1] + parameters[-1]))
            return float(0.5 * (parameters**2).sum() + (importance * slack**2).sum())

        best = np.append(weights[label], bias[label]).astype(np.float64)
        at_best = objective(best)
        assert all(objective(best + 0.01 * step) > at_best - 1e-4 for step in rng.standard_normal((50, 7)))


def test_the_scores_of_words_are_those_of_svms_on_scikit_learn_s_tf_idf() -> None:
    """Words that two sentences have at least, and pairs: no grams, so that scikit-learn can count the same."""
    rng = np.random.default_rng(2)
    vocabulary = [f"w{number}" for number in range(9)]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(1, 6))) for _ in range(99)]
    contract = TextContract(TextConfig(buckets=0), vocabulary)
    values = np.array([["w1" in text.split(), "w2 w3" in text or "w4" in text] for text in texts], np.float32)
    targets = LabelTargets(values, np.ones(values.shape, bool))
    tokens = [contract.tokenise(text) for text in texts]

    words, bias = fit_words(contract, tokens, targets)

    vectoriser = TfidfVectorizer(ngram_range=(1, 2), min_df=2, token_pattern=r"\S+")
    features = vectoriser.fit_transform(texts)
    assert len(words.rows) == features.shape[1]  # no two pairs share a row here
    weights, bias_of_sklearn = fit_svms(features.astype(np.float32).tocsr(), targets, rarity_exponent=1.0)
    wanted = features @ weights.T + bias_of_sklearn
    np.testing.assert_allclose(words.scores(tokens) + bias, wanted, atol=5e-3)  # liblinear ends within a tolerance


def test_a_label_that_always_or_never_holds_needs_no_svm() -> None:
    values = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    weights, bias = fit_svms(np.eye(3, dtype=np.float32), LabelTargets(values, np.ones(values.shape, bool)))
    assert not weights.any()
    assert bias[0] > 0 > bias[1]
