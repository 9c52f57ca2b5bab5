"""SimCSE: a sentence encoded twice under different dropout against the other sentences of the batch."""

from torch import Tensor

from model.losses.in_batch_margin_softmax import in_batch_margin_softmax


def sim_cse(first: Tensor, second: Tensor, texts_ids: Tensor, *, temperature: float) -> Tensor:
    """Symmetric InfoNCE between two dropout views of the same sentences; learns from sentences without groups.

    Without dropout the views are equal and only the pushing apart is left.

    Args:
        first: (n, dim) unit embeddings.
        second: (n, dim) unit embeddings of the same sentences under another dropout mask.
        texts_ids: (n,) int64; rows with the same id are the same text and no negatives of each other.
        temperature: Divides the cosines; 0.05 is the authors' choice.

    Returns:
        (n,) losses in nats, the mean of both directions (the authors take one).

    Source: Gao et al. 2021, arXiv:2104.08821.
    """
    return in_batch_margin_softmax(first, second, texts_ids, temperature=temperature, margin=0.0)
