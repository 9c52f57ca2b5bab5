"""What crosses the border is checked once, here: widths, unit length, ids, masks, k."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from index.errors import InvalidIdError, InvalidKError, InvalidMaskError, InvalidVectorError, WrongDimError
from index.types import Allowed, Ids, Vectors

UNIT_TOLERANCE: Final = 1e-3
"""How far from 1 the length of a vector may be."""


def check_search(queries: Vectors, k: int, allowed: Allowed | None, dim: int) -> Vectors:
    """Check the arguments of a search.

    Returns:
        The queries as contiguous float32.

    Raises:
        InvalidInputError: Naming the first value that is wrong.
    """
    if k < 1:
        raise InvalidKError(f"k is {k}: ask for at least 1 neighbour")
    if allowed is not None and (allowed.ndim != 1 or allowed.dtype != np.bool_):
        raise InvalidMaskError(f"allowed has shape {allowed.shape} and type {allowed.dtype}: give a (n,) bool mask")
    return check_vectors(queries, dim)


def check_rows(record_ids: ArrayLike, vectors: Vectors, dim: int) -> tuple[Ids, Vectors]:
    """Check ids with their vectors.

    Returns:
        The ids as int64 and the vectors as contiguous float32.

    Raises:
        InvalidInputError: Naming the first value that is wrong.
    """
    ids = check_ids(record_ids)
    rows = check_vectors(vectors, dim)
    if len(ids) != len(rows):
        raise InvalidIdError(f"{len(ids)} record ids for {len(rows)} vectors: give one id for each vector")
    return ids, rows


def check_ids(record_ids: ArrayLike) -> Ids:
    """Check ids and return them as (n,) int64.

    Raises:
        InvalidIdError: An id is negative or no integer, or the shape is not (n,).
    """
    given = np.asarray(record_ids)
    if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise InvalidIdError(f"record ids have shape {given.shape} and type {given.dtype}: give (n,) int64")
    ids = given.astype(np.int64, copy=False)
    if ids.size and ids.min() < 0:
        raise InvalidIdError(f"record id {ids.min()} is negative: ids are 0 or more")
    return ids


def check_vectors(vectors: Vectors, dim: int) -> Vectors:
    """Check vectors and return them as contiguous (n, dim) float32.

    Raises:
        WrongDimError: Rows of another width.
        InvalidVectorError: Not a matrix, or a row that is not finite and of unit length.
    """
    rows: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2:
        raise InvalidVectorError(f"vectors have shape {rows.shape}: give a matrix (n, {dim})")
    if rows.shape[1] != dim:
        raise WrongDimError(given=rows.shape[1], expected=dim)
    squares = np.einsum("nd,nd->n", rows, rows)
    # A NaN or an infinity fails this comparison too, so that one pass over the vectors finds all three faults.
    good = np.abs(squares - 1.0) <= 2 * UNIT_TOLERANCE
    if not good.all():
        _refuse(rows, good)
    return rows


def last_of_each(record_ids: Ids) -> NDArray[np.int64]:
    """Positions of the last of each id, in order."""
    _, from_the_end = np.unique(record_ids[::-1], return_index=True)
    return np.sort(len(record_ids) - 1 - from_the_end)


def _refuse(rows: Vectors, good: NDArray[np.bool_]) -> None:
    row = int(np.flatnonzero(~good)[0])
    if not np.isfinite(rows[row]).all():
        raise InvalidVectorError(f"vector {row} holds NaN or infinity: encode it again")
    length = float(np.linalg.norm(rows[row].astype(np.float64)))
    raise InvalidVectorError(f"vector {row} has length {length:.6f}, not 1: divide it by its length")
