"""The number format that losses are computed in, whatever the encoder ran in."""

import torch
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """The same values as float32, or float64 if that is what came.

    exp(30) and a sum over 90,000 groups leave nothing of a half-precision cosine's eight or eleven bits.
    """
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def inner_products(rows: Tensor, columns: Tensor) -> Tensor:
    """(n, dim) and (m, dim) to (n, m) inner products in full precision; autocast would make the product half again."""
    with torch.autocast(rows.device.type, enabled=False):
        return full_precision(rows) @ full_precision(columns).T
