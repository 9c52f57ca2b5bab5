"""What clients send about trainings."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from app.schemas import Line, OneRemedy, Strict, check_json
from app.training.settings import check_gate, check_settings


class Promote(StrEnum):
    """What happens to a release that passed the gate."""

    AUTO = "auto"
    MANUAL = "manual"


class WhenBusy(StrEnum):
    """What happens to a request while another release of the collection is being made."""

    QUEUE = "queue"
    REFUSE = "refuse"


Setting = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,62}$")]
Points = Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(max_length=100)]
Given = Annotated[
    Annotated[str, StringConstraints(max_length=200)] | bool | int | float | Points | dict[Setting, Points],
    OneRemedy("give a text of up to 200 characters, a number, true, false, null, or the points of a schedule"),
]
Settings = Annotated[dict[Setting, Given | None], Field(max_length=200), AfterValidator(check_json)]
Rules = Annotated[dict[str, Any], AfterValidator(check_json), AfterValidator(check_gate)]


class JudgedRequest(Strict):
    """What every release passes on its way to answering."""

    gate: Rules = Field(default={}, description="rules of the gate that differ from the defaults: docs/gate.md")
    promote: Annotated[Promote, Field(strict=False)] = Field(
        default=Promote.AUTO, description="auto: it answers once it has passed; manual: it waits to be promoted"
    )
    when_busy: Annotated[WhenBusy, Field(strict=False)] = Field(
        default=WhenBusy.QUEUE, description="queue: begin after the one that runs; refuse: 409"
    )
    why: Line = Field(default="", description="kept with the release's events")


class TrainingRequest(JudgedRequest):
    """How to retrain."""

    recipe: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")] = "default"
    settings: Settings = Field(default={}, description="settings of the trainer: `samesay settings` lists them")
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("recipe")
    @classmethod
    def _is_known(cls, recipe: str) -> str:
        check_settings(recipe, {})
        return recipe

    @field_validator("settings")
    @classmethod
    def _make_sense(cls, settings: dict[str, Any], others: ValidationInfo) -> dict[str, Any]:
        if "recipe" in others.data:  # else that is the complaint
            check_settings(others.data["recipe"], settings)
        return settings


class AdoptionRequest(JudgedRequest):
    """A registered encoder, trained elsewhere, that shall become a release."""

    encoder: str = Field(min_length=1, max_length=256, description="its name or sha256")
