"""Embeddings in the plane: t-SNE where there are enough of them, else their two principal components."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.report.data import EmbeddingMap, MapPoint
from model.report.wording import shorten, shorten_name

MOST_GROUPS = 7
"""As many as there are colours that the colour-blind tell apart."""

MOST_POINTS = 600
_MOST_OF_A_GROUP = 60
_MOST_CHARS = 80
_FEWEST_FOR_NEIGHBOURS = 30
_STEPS = 500
_SEED = 0


def draw_map(
    texts: Sequence[str],
    groups: Sequence[str],
    n_train: int,
    embeddings: NDArray[np.float32],
    first_groups: Sequence[str] = (),
) -> EmbeddingMap | None:
    """Some sentences in the plane, the same ones for the same data.

    Args:
        texts, groups: Of the training rows, then of the held-out rows.
        n_train: Training rows.
        embeddings: (n, dim) unit rows.
        first_groups: Groups to name before the largest ones.
    """
    by_size = [group for group, _ in sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0]))]
    named = list(dict.fromkeys([*first_groups, *by_size]))[:MOST_GROUPS]
    rows = _choose(groups, n_train, named)
    if len(rows) < 3:
        return None
    places = _to_unit_square(to_plane(embeddings[rows]))
    slots = {group: slot for slot, group in enumerate(named)}
    points = tuple(
        MapPoint(
            x=float(x),
            y=float(y),
            slot=slots.get(groups[row]),
            held_out=row >= n_train,
            group=shorten_name(groups[row]),
            sentence=shorten(texts[row], _MOST_CHARS),
        )
        for row, (x, y) in zip(rows, places, strict=True)
    )
    return EmbeddingMap(groups=tuple(shorten_name(group) for group in named), points=points)


def to_plane(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, dim) to (n, 2); deterministic.

    Source: van der Maaten and Hinton 2008, for t-SNE.
    """
    if len(embeddings) < _FEWEST_FOR_NEIGHBOURS or np.ptp(embeddings, axis=0).max() < 1e-6:
        return principal_components(embeddings)
    from sklearn.manifold import TSNE  # takes a second to import: only runs that have a map pay for it

    # t-SNE begins at the principal components, so the map keeps their large-scale order
    start = principal_components(embeddings)
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    plane = TSNE(
        init=start.astype(np.float32), perplexity=perplexity, learning_rate="auto", max_iter=_STEPS, random_state=_SEED
    )
    return np.asarray(plane.fit_transform(embeddings), np.float64)


def principal_components(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, dim) to the (n, 2) coordinates of largest variance; signs so that the farthest point is positive."""
    centred = np.asarray(embeddings, np.float64) - embeddings.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    farthest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    return np.asarray(plane * np.where(farthest < 0, -1.0, 1.0), np.float64)


def _choose(groups: Sequence[str], n_train: int, named: Sequence[str]) -> NDArray[np.int64]:
    """Rows to show: the named groups up to a number each, then an even sample of the others, held-out ones first."""
    shown = set(named)
    of_named: Counter[str] = Counter()
    rows: list[int] = []
    others: list[int] = []
    for row in [*range(n_train, len(groups)), *range(n_train)]:
        if groups[row] not in shown:
            others.append(row)
        elif of_named[groups[row]] < _MOST_OF_A_GROUP:
            of_named[groups[row]] += 1
            rows.append(row)
    room = MOST_POINTS - len(rows)
    return np.array(sorted(rows + others[:: max(1, -(-len(others) // room))]), np.int64)


def _to_unit_square(places: NDArray[np.float64]) -> NDArray[np.float64]:
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    scaled: NDArray[np.float64] = (places - low) / np.where(span > 0, span, 1.0)
    return scaled
