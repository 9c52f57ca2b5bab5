"""The rules by which a candidate may take the place of what answers, as settings."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Metric = Literal["hit_rate@1", "best_group", "accuracy", "out_of_scope_recall", "label_f1"]


class GateRules(BaseModel):
    """When a candidate may take over.

    Attributes:
        alpha: Chance that a candidate as good as what answers is refused by any of the paired tests together.
        tolerance: Loss of accuracy, as a share of the sentences, that counts as none: the threshold, and how many are
            refused with it, differs so much from training to training.
        max_drop: For single metrics, the most that a candidate may lose, however sure that is.
        least: For single metrics, the least that a candidate must reach.
        max_ece_rise: The most that the calibration error may rise; None does not look at it.
        above_chance: Whether the groups of the nearest sentences must have to do with the true ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: float = Field(default=0.02, gt=0, lt=0.5)
    tolerance: Share = 0.01
    max_drop: dict[Metric, Share] = {}
    least: dict[Metric, Share] = {}
    max_ece_rise: float | None = Field(default=None, ge=0)
    above_chance: bool = True

    @classmethod
    def read(cls, values: Any) -> "GateRules":
        """The rules from settings, or ConfigError naming the wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(map(str, wrong["loc"])) or "rules"
            raise ConfigError(f"gate {name}: {wrong['msg']}; there are {', '.join(cls.model_fields)}") from None
