"""What a head says of a batch: cosines, and where in them each row's own label stands."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scored:
    """Cosines of a batch with the labels that a head has looked at.

    Attributes:
        cosines: (B, C) float32 in [-1, 1].
        targets: (B,) int64, the column of each row's own label.
        columns: (C,) int64, the label index of each column; None for all V labels in their order.
    """

    cosines: Tensor
    targets: Tensor
    columns: Tensor | None = None
