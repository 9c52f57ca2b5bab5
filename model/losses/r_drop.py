"""R-Drop: two passes of a sentence under different dropout have to agree."""

from torch import Tensor
from torch.nn import functional

from model.losses.precision import full_precision


def r_drop(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """(KL(a||b) + KL(b||a)) / 2 of every sentence: the paper's L_KL, to be added as CE_a + CE_b + alpha L_KL.

    Reductions decide what alpha means. Here: a sum over the groups, one value a sentence, and the caller takes the mean
    over sentences. Beside the sum of the two cross-entropies alpha is then the paper's; beside their mean, alpha / 2 is
    the same. Elsewhere the same number means other things: with the divergence summed over a batch of B
    sentences it is B times as strong, averaged over C groups C times as weak, without the half twice as strong.

    Neither side is detached: both passes learn. Give it the plain scaled cosines: a margin would distort both sides,
    and filtered columns differ from pass to pass.

    Args:
        logits_a: (B, C) of the first pass.
        logits_b: (B, C) of the second.

    Returns:
        (B,) in nats.

    Source: Liang et al. 2021, arXiv:2106.14448; https://kexue.fm/archives/8496.
    """
    return symmetric_kl(logits_a, logits_b) / 2


def symmetric_kl(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """KL(a||b) + KL(b||a) = sum over the columns of (p - q)(ln p - ln q), (B,) in nats.

    Columns at -inf on both sides add nothing; at -inf on one side only the divergence is infinite, as it should.

    Args:
        logits_a: (B, C).
        logits_b: (B, C).

    Source: https://kexue.fm/archives/9039.
    """
    log_p = full_precision(logits_a).log_softmax(dim=1)
    log_q = full_precision(logits_b).log_softmax(dim=1)
    absent = log_p.isneginf() & log_q.isneginf()
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q).masked_fill(absent, 0)).sum(dim=1)


def multi_label_r_drop(scores_a: Tensor, scores_b: Tensor) -> Tensor:
    """Half the sum over the labels of (sigmoid(s) - sigmoid(t))(s - t): `r_drop` of each yes-or-no question.

    For scores that are trained label by label or by ZLPR; a softmax over them would mean nothing.

    Args:
        scores_a: (B, V).
        scores_b: (B, V).

    Returns:
        (B,) in nats.

    Source: https://kexue.fm/archives/9039.
    """
    a, b = full_precision(scores_a), full_precision(scores_b)
    return ((a.sigmoid() - b.sigmoid()) * (a - b)).sum(dim=1) / 2


def embedding_consistency(a: Tensor, b: Tensor) -> Tensor:
    """1 - cos of two passes' (B, dim) embeddings, (B,): cheap with many groups, and possible without any."""
    return 1 - functional.cosine_similarity(full_precision(a), full_precision(b), dim=1)
