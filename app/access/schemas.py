"""What clients send and get about API keys."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from app.access.scopes import OF_NO_COLLECTION, KeyScope
from app.schemas import Answer, Name, Strict

MOST_COLLECTIONS = 100
"""Collections that a key may name."""

MOST_GRACE_S = 30 * 24 * 3600

KeyName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,100}$")]


class ApiKeyCreate(Strict):
    """A key to make."""

    name: KeyName = Field(description="what it is for; one key that is not revoked has it")
    scopes: Annotated[list[Annotated[KeyScope, Field(strict=False)]], Field(min_length=1, max_length=len(KeyScope))]
    collections: Annotated[list[Name], Field(min_length=1, max_length=MOST_COLLECTIONS)] | None = Field(
        default=None, description="the collections it is for, by name; null for all, those to come too"
    )
    expires_at: Annotated[datetime, Field(strict=False)] | None = Field(
        default=None, description="from then on it is refused; with a zone, such as 2030-01-01T00:00:00Z"
    )
    rate_limit: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="items a second, in place of SAMESAY_RATE_LIMIT"
    )
    rate_burst: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        default=None, description="items at once, in place of SAMESAY_RATE_BURST"
    )

    @field_validator("expires_at")
    @classmethod
    def _is_in_utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        if moment.tzinfo is None:
            raise ValueError("has no zone: add Z or an offset such as +08:00")
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("is beyond the year 9999 in UTC: give an earlier moment, or none") from None

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        beyond = sorted(OF_NO_COLLECTION.intersection(self.scopes))
        if self.collections is not None and beyond:
            raise ValueError(
                f"the scope {beyond[0]} is about no collection: leave out the scope, or the list of collections"
            )
        return self


class ApiKeyRotate(Strict):
    """How to change the secret."""

    grace_s: Annotated[int, Field(ge=0, le=MOST_GRACE_S)] = Field(
        default=0, description="seconds for which the old secret is good too"
    )


class ApiKeyAnswer(Answer):
    """A key, without its secret.

    Attributes:
        old_secret_until: Until then the secret before the last rotation is good too.
        last_used_at: To a minute or so; null if never.
    """

    id: str
    name: str
    scopes: list[KeyScope]
    collections: list[str] | None
    rate_limit: float | None
    rate_burst: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    rotated_at: datetime | None
    old_secret_until: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class ApiKeySecret(ApiKeyAnswer):
    """A key with its secret: it is shown this once, and stored nowhere."""

    key: str = Field(examples=["sms_0123456789abcdef_" + "0" * 64])
