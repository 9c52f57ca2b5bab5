"""From neighbours to what a search answers: pure functions of a moment of a release's catalogue."""

from typing import Any, Final

from app.serving.catalogue.catalogue import CatalogueView

SCORE_DIGITS: Final = 6


def neighbours(
    catalogue: CatalogueView, record_ids: list[int], scores: list[float], min_score: float | None
) -> list[dict[str, Any]]:
    """The neighbours of one query as the API shows them; those below `min_score` are left out."""
    found = []
    for entry, score in zip(catalogue.find(record_ids), scores, strict=True):
        shown = round(score, SCORE_DIGITS)
        if entry is None or (min_score is not None and shown < min_score):  # what is shown is what counts
            continue
        found.append({"id": entry.id, "text": entry.text, "group": entry.group, "score": shown})
    return found
