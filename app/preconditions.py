"""If-Match and If-None-Match: a write that happens only on the version the client has seen."""

from dataclasses import dataclass
from typing import Final

from fastapi import Request

from app.errors import InvalidValueError, PreconditionFailedError


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold of the stored version, None standing for "there is none".

    Attributes:
        versions: Any of these versions; None demands nothing.
        exists: It must exist (If-Match: *).
        absent: It must not exist (If-None-Match: *).
    """

    versions: frozenset[int] | None = None
    exists: bool = False
    absent: bool = False

    @property
    def demands_nothing(self) -> bool:
        """Whether any version, and none, would do: then nobody need look it up."""
        return self == _NOTHING

    def check(self, version: int | None, *, what: str) -> None:
        """Raise PreconditionFailedError unless the stored version is the one demanded."""
        if self.absent and version is not None:
            raise PreconditionFailedError(
                f"{what} exists already, at version {version}, and If-None-Match: * forbids it"
            )
        if (self.exists or self.versions is not None) and version is None:
            raise PreconditionFailedError(f"{what} does not exist, and If-Match demands it")
        if self.versions is not None and version not in self.versions:
            raise PreconditionFailedError(
                f"{what} is at version {version}, If-Match names another: get it again, then repeat the change"
            )


_NOTHING: Final = Precondition()


def read_precondition(request: Request) -> Precondition:
    """Read both headers.

    Raises:
        InvalidValueError: A header in a form that we never send.
    """
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if if_none_match is not None and if_none_match.strip() != "*":
        raise InvalidValueError("If-None-Match: only * is supported, which creates and never replaces")
    absent = if_none_match is not None
    if if_match is None:
        return Precondition(absent=absent)
    if if_match.strip() == "*":
        return Precondition(exists=True, absent=absent)
    return Precondition(versions=frozenset(_version(tag) for tag in if_match.split(",")), absent=absent)


def _version(tag: str) -> int:
    digits = tag.strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        return -1  # no version of ours: never matches
    return int(digits)
