"""Every loss in the number formats that an encoder may hand it: half types, under autocast, and float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from model.losses.a_softmax import a_softmax_logits
from model.losses.am_softmax import am_softmax_logits
from model.losses.arcface import arcface_logits
from model.losses.binary_cross_entropy import binary_cross_entropy
from model.losses.center_loss import CenterLoss
from model.losses.cross_entropy import cross_entropy
from model.losses.focal import focal_loss
from model.losses.in_batch_margin_softmax import in_batch_margin_softmax
from model.losses.logit_adjustment import adjust_in_loss
from model.losses.normalised_softmax import normalised_softmax_logits
from model.losses.outlier_exposure import no_match_loss, outlier_exposure
from model.losses.precision import full_precision, inner_products
from model.losses.r_drop import embedding_consistency, multi_label_r_drop, r_drop
from model.losses.sim_cse import sim_cse
from model.losses.simpler_a_softmax import simpler_a_softmax_logits
from model.losses.soft_f1 import soft_f1_loss, soft_f1_weights
from model.losses.truncation import hard_truncated_cross_entropy, softened_truncated_cross_entropy
from model.losses.zlpr import zlpr

LABELS = torch.tensor([0, 3, 1, 4, 2, 2])
FLAGS = torch.eye(5)[LABELS]
PRIOR = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1]).log()
CENTRES = CenterLoss(5, 5)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "am_softmax": lambda a, _: am_softmax_logits(a, LABELS, margin=0.35, scale=30),
    "arcface": lambda a, _: arcface_logits(a, LABELS, margin=0.5, scale=30),
    "a_softmax": lambda a, _: a_softmax_logits(a, LABELS, margin=4, scale=30),
    "simpler_a_softmax": lambda a, _: simpler_a_softmax_logits(a, LABELS, margin=0, scale=30),
    "normalised_softmax": lambda a, _: normalised_softmax_logits(a, LABELS, margin=0, scale=30),
    "cross_entropy": lambda a, _: cross_entropy(30 * full_precision(a), LABELS, label_smoothing=0.1),
    "cross_entropy, given half": lambda a, _: cross_entropy(a, LABELS),
    "focal": lambda a, _: focal_loss(a, LABELS, gamma=2),
    "hard_truncation": lambda a, _: hard_truncated_cross_entropy(a, LABELS),
    "soft_truncation": lambda a, _: softened_truncated_cross_entropy(a, LABELS, sharpness=2),
    "soft_f1": lambda a, _: soft_f1_loss(a.abs(), FLAGS),
    "soft_f1_weights": lambda a, _: soft_f1_weights(a.abs(), FLAGS),
    "adjust_in_loss": lambda a, _: adjust_in_loss(a, PRIOR),
    "zlpr": lambda a, _: zlpr(a, FLAGS),
    "bce": lambda a, _: binary_cross_entropy(a, FLAGS),
    "r_drop": r_drop,
    "multi_label_r_drop": multi_label_r_drop,
    "embedding_consistency": embedding_consistency,
    "center_loss": lambda a, _: CENTRES(a, LABELS),
    "in_batch": lambda a, b: in_batch_margin_softmax(a, b, LABELS, temperature=0.05, margin=0.2),
    "sim_cse": lambda a, b: sim_cse(a, b, LABELS, temperature=0.05),
    "outlier_exposure": lambda a, _: outlier_exposure(a),
    "no_match": lambda a, _: no_match_loss(a, 0.1),
}


def embeddings(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    rows = normalize(torch.randn(2, 6, 5, generator=generator), dim=2).to(dtype)
    return rows[0], rows[1]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_inputs_are_computed_in_float32_under_autocast_too(name: str, dtype: torch.dtype) -> None:
    a, b = embeddings(dtype)
    expected = LOSSES[name](a.double(), b.double())
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            value = LOSSES[name](a, b)
        assert value.dtype == torch.float32
        # half arithmetic would be off by 4e-3 of the value, and a product of autocast by 0.1 at a scale of 30
        torch.testing.assert_close(value.double(), expected.double(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_half_inputs_are_finite(name: str) -> None:
    a, b = (rows.requires_grad_() for rows in embeddings(torch.float16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSSES[name](a, b)
    if not value.requires_grad:
        assert name == "soft_f1_weights"
        return
    value.sum().backward()
    assert a.grad is not None
    assert bool(a.grad.isfinite().all())


@pytest.mark.parametrize("name", LOSSES)
def test_float64_stays_float64(name: str) -> None:
    assert LOSSES[name](*embeddings(torch.float64)).dtype == torch.float64


def test_inner_products_are_not_rounded_by_autocast() -> None:
    rows, columns = embeddings(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, kept = rows @ columns.T, inner_products(rows, columns)
    exact = rows.double() @ columns.double().T
    assert (kept.double() - exact).abs().max() < 1e-6
    assert (rounded.double() - exact).abs().max() > 1e-4
