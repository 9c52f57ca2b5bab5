"""Heads: their arithmetic, and that their files bring back what was written."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from model.contract.bundle import load_bundle
from model.contract.deciding.decision import DecisionParameters
from model.contract.deciding.evidence import OutOfScopeScore
from model.contract.deciding.head import Head, LabelHead
from model.contract.errors import BundleDamagedError
from tests.fakes.tiny_bundle import make_tiny_bundle


def test_confidences_are_the_sigmoid_of_a_linear_score_even_far_out() -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(0, 30, (4, 8)), rng.normal(0, 30, 4)
    embeddings = rng.normal(0, 1, (50, 8))
    head = LabelHead(("a", "b", "c", "d"), weights.astype(np.float32), bias.astype(np.float32))
    found = head.confidences(embeddings.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expit(embeddings @ weights.T + bias), atol=2e-5)


def test_a_label_head_survives_its_files(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", sigmoid_labels=("money back", "log in"))
    bundle = load_bundle(tmp_path / "b")
    assert (bundle.head, bundle.manifest.head, bundle.manifest.n_labels) == (None, "sigmoid", 2)
    assert bundle.label_head is not None
    assert bundle.label_head.labels == ("money back", "log in")
    own = bundle.encoder.encode(["money back", "log in"])
    np.testing.assert_array_equal(bundle.label_head.weights, 20 * own)
    np.testing.assert_array_equal(bundle.label_head.bias, [-6, -6])
    sure = bundle.label_head.confidences(own)
    np.testing.assert_allclose(np.diag(sure), expit(14), atol=1e-6)


def test_a_softmax_head_keeps_its_scale_and_prior(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", head_labels=("a", "b"), head_scale=30.0, head_prior=(0.9, 0.1))
    head = load_bundle(tmp_path / "b").head
    assert head is not None
    assert (head.scale, head.labels) == (30.0, ("a", "b"))
    np.testing.assert_array_equal(head.prior, np.array([0.9, 0.1], np.float32))
    kept = head.keep([1])
    assert (kept.labels, kept.weights.shape, kept.scale) == (("b",), (1, 32), 30.0)
    np.testing.assert_array_equal(kept.prior, np.array([0.1], np.float32))


def test_without_a_prior_none_comes_back(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", head_labels=("a", "b"))
    head = load_bundle(tmp_path / "b").head
    assert isinstance(head, Head)
    assert (head.scale, head.prior) == (None, None)


def test_a_prior_with_a_share_of_0_is_refused(tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "b", head_labels=("a", "b"), head_scale=30.0, head_prior=(1.0, 0.0))
    with pytest.raises(BundleDamagedError, match=r"prior.npy of shape \(2,\) must hold a share above 0"):
        load_bundle(tmp_path / "b")


def test_the_energy_score_needs_a_scale_in_the_manifest(tmp_path: Path) -> None:
    energy = DecisionParameters(score=OutOfScopeScore.ENERGY)
    with pytest.raises(ValueError, match="needs head_scale"):
        make_tiny_bundle(tmp_path / "b", head_labels=("a", "b"), decision=energy)
    make_tiny_bundle(tmp_path / "b", head_labels=("a", "b"), decision=energy, head_scale=30.0)
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "head_scale": None}))
    with pytest.raises(BundleDamagedError, match="needs head_scale"):
        load_bundle(tmp_path / "b")
