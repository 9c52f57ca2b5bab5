"""The settings of a collection that this feature reads: which queries are kept, and when a training is ordered."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field

from app.schemas import Strict

MOST_KEPT: Final = 100_000
MOST_DAYS: Final = 365


class KeepQueries(StrEnum):
    """Which queries of POST :classify are kept."""

    OFF = "off"
    UNMATCHED = "unmatched"
    SAMPLED = "sampled"


class FeedbackSettings(Strict):
    """What a collection says about feedback; all of it can be changed."""

    keep_queries: Annotated[KeepQueries, Field(strict=False)] = Field(
        default=KeepQueries.OFF,
        description="queries of :classify to keep for review: none, those without a clear match, or a random share",
    )
    keep_queries_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.01, description="share of the queries that `sampled` keeps"
    )
    keep_queries_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = Field(
        default=30, description="days after which a query that was not asked again is deleted"
    )
    keep_queries_most: Annotated[int, Field(ge=1, le=MOST_KEPT)] = Field(
        default=10_000, description="different texts that are kept at most; those not asked for longest go first"
    )
    auto_retrain_after: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="order a training after so many accepted items that brought something new; takes the scope `train`",
    )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Those of a collection's settings, and defaults for the rest."""
        return cls.model_validate({name: settings[name] for name in cls.model_fields if name in settings})
