"""Which settings make sense together: what is senseless is refused with the reason, what is doubtful is warned of."""

import math
from collections.abc import Callable, Set
from typing import Final, NamedTuple

from model.config.kinds import (
    OF_HEAD,
    OF_LABELS,
    ClassWeight,
    ConstraintTarget,
    FloodMode,
    LogitAdjustment,
    Loss,
    MarginLoss,
    Monitor,
    MultiLabelLoss,
    Objective,
    RDropOn,
    Sampler,
    ScaleMode,
    WeightConstraint,
)
from model.config.sections import Config, SchedulePoints
from model.errors import ConfigError

SCHEDULABLE: Final = (
    "embedding_noise_std",
    "center_loss_weight",
    "flood_level",
    "label_smoothing",
    "margin",
    "outlier_exposure_weight",
    "pair_margin",
    "pair_weight",
    "rdrop_alpha",
    "rdrop_unlabelled_weight",
    "scale",
    "temperature",
)
"""Settings that `hyperparameter_schedules` may change while a run goes on."""


class Rule(NamedTuple):
    """A combination and what is wrong with it."""

    applies: Callable[[Config], bool]
    reason: str


def check_combinations(config: Config) -> None:
    """Refuse what makes no sense.

    Raises:
        ConfigError: With the settings and the reason.
    """
    _check_rules(config)
    _check_shares("schedule_steps: the shares", config.schedule_steps)
    if any(factor < 0 for _, factor in config.schedule_steps):
        raise ConfigError(f"schedule_steps: {config.schedule_steps} has a factor below 0, which would climb")
    for name, points in config.hyperparameter_schedules.items():
        if name not in SCHEDULABLE:
            raise ConfigError(f"hyperparameter_schedules: {name!r} cannot change; these can: {', '.join(SCHEDULABLE)}")
        _check_shares(f"hyperparameter_schedules: the shares of {name}", points)
        for _, value in points:
            _check_value(config, name, value)


def warnings_of(config: Config, given: Set[str]) -> list[str]:
    """What is allowed but rarely meant.

    Args:
        config: With its objective settled.
        given: Names of the settings that the user or the recipe gave.
    """
    doubts = [rule.reason for rule in _DOUBTFUL if rule.applies(config)]
    idle = [name for name, matters in _MATTERS.items() if name in given and not matters(config)]
    return doubts + [f"{name} has no effect with objective {config.objective} and these settings" for name in idle]


def _check_rules(config: Config) -> None:
    for rule in _REFUSED:
        if rule.applies(config):
            raise ConfigError(rule.reason)


def _check_shares(what: str, points: SchedulePoints) -> None:
    shares = [share for share, _ in points]
    if not points or shares != sorted(shares) or not 0 <= shares[0] <= shares[-1] <= 1:
        raise ConfigError(f"{what} are {shares}; give them ascending, 0 to 1")


def _check_value(config: Config, name: str, value: float) -> None:
    """The setting itself must be able to have this value, beside all the others."""
    try:
        then = Config.model_validate({**config.model_dump(), name: value})
    except ValueError:
        raise ConfigError(f"hyperparameter_schedules: {name} cannot be {value}") from None
    try:
        _check_rules(then)
    except ConfigError as error:
        raise ConfigError(f"hyperparameter_schedules: {name} cannot be {value}: {error}") from None


def _is(*objectives: Objective) -> Callable[[Config], bool]:
    return lambda config: config.objective in objectives


def _evens_out(config: Config) -> bool:
    return config.sampler in (Sampler.CLASS_BALANCED, Sampler.PK)


def _has_noise(config: Config) -> bool:
    return any(map(config.uses, ("embedding_dropout", "output_dropout", "embedding_noise_std")))


def _rdrop(config: Config) -> bool:
    return config.uses("rdrop_alpha") or config.uses("rdrop_unlabelled_weight")


def _floods(config: Config) -> bool:
    return config.uses("flood_level")


def _sampled(config: Config) -> bool:
    return config.sampled_negatives > 0


def _cannot_be_watched(config: Config) -> bool:
    objective, monitor = config.objective, config.monitor
    if objective is Objective.AUTO or monitor in (Monitor.AUTO, Monitor.LOSS):
        return False
    if objective is Objective.MULTI_LABEL:
        return monitor not in OF_LABELS
    return monitor in OF_LABELS or (monitor in OF_HEAD and not objective.has_class_vectors)


_REFUSED: Final = (
    Rule(
        _cannot_be_watched,
        f"monitor: {', '.join(OF_LABELS)} are figures of objective=multi_label and its only ones, "
        f"{' and '.join(OF_HEAD)} of class vectors: leave it at auto",
    ),
    Rule(
        lambda c: c.logit_adjustment is not LogitAdjustment.NONE and c.class_weight is not ClassWeight.NONE,
        "logit_adjustment and class_weight both make up for the groups' sizes, which would count them twice: keep one",
    ),
    Rule(
        lambda c: c.logit_adjustment is not LogitAdjustment.NONE and _evens_out(c),
        "the sampler evens out the groups: their prior is uniform, so logit_adjustment would do nothing: keep one",
    ),
    Rule(
        lambda c: c.logit_adjustment is LogitAdjustment.POSTHOC and c.logit_adjustment_tau > 1,
        "logit_adjustment=posthoc takes out at most the whole prior: set logit_adjustment_tau to 1 or less",
    ),
    Rule(
        lambda c: c.class_weight is not ClassWeight.NONE and _evens_out(c),
        "class_weight and the sampler both make up for the groups' sizes, which would count them twice: keep one",
    ),
    Rule(
        lambda c: c.objective is Objective.MULTI_LABEL
        and (c.logit_adjustment is not LogitAdjustment.NONE or c.class_weight is not ClassWeight.NONE),
        "logit_adjustment and class_weight are for one group a sentence; with several labels use "
        "multi_label_loss=zlpr, or bce with positive_weight",
    ),
    Rule(
        lambda c: c.objective is Objective.MULTI_LABEL and _evens_out(c),
        "sampler is for one group a sentence; with several labels leave it uniform",
    ),
    Rule(
        lambda c: c.objective is Objective.MULTI_LABEL and c.loss is not Loss.CROSS_ENTROPY,
        "loss is for one group a sentence; with several labels set multi_label_loss",
    ),
    Rule(
        lambda c: c.objective.has_pairs and c.gradient_accumulation_steps > 1,
        "gradient_accumulation_steps: pairs in the batch are each other's negatives, which do not cross batches: "
        "accumulating is not the same as a larger batch; raise batch_size",
    ),
    Rule(
        lambda c: _floods(c) and c.flood_mode is FloodMode.BATCH and c.gradient_accumulation_steps > 1,
        "flood_mode=batch takes its sign from the mean loss of the whole step, which is not known while gradients "
        "accumulate: use flood_mode=instance, or a larger batch_size",
    ),
    Rule(
        lambda c: c.objective in (Objective.IN_BATCH, Objective.JOINT) and c.max_per_group == 1,
        "max_per_group=1 leaves no pairs: set it to 2 or more, or objective=head",
    ),
    Rule(
        lambda c: _rdrop(c) and not _has_noise(c),
        "R-Drop compares two passes that differ by dropout, and there is none: set embedding_dropout or output_dropout",
    ),
    Rule(
        lambda c: c.objective is Objective.SIM_CSE and not _has_noise(c),
        "sim_cse learns from two passes that differ by dropout, and there is none: set embedding_dropout",
    ),
    Rule(
        lambda c: c.objective in (Objective.IN_BATCH, Objective.SIM_CSE) and _rdrop(c) and c.rdrop_on is RDropOn.LOGITS,
        "pairs in the batch have no logits of groups to compare: set rdrop_on=embeddings",
    ),
    Rule(
        lambda c: c.objective is Objective.SIM_CSE and c.uses("rdrop_alpha"),
        "sim_cse compares two passes already; leave rdrop_alpha at 0",
    ),
    Rule(
        lambda c: c.loss is not Loss.CROSS_ENTROPY and c.label_smoothing > 0,
        "label_smoothing is a form of the cross-entropy: set loss=cross_entropy",
    ),
    Rule(
        lambda c: c.margin_loss is MarginLoss.A_SOFTMAX and (c.margin < 1 or c.margin != int(c.margin)),
        "margin_loss=a_softmax multiplies the angle by a whole margin: set margin=2 to 4",
    ),
    Rule(
        lambda c: c.margin_loss is MarginLoss.A_SOFTMAX and "margin" in c.hyperparameter_schedules,
        "margin_loss=a_softmax has whole margins only, which cannot grow along a line: use margin_warmup_epochs",
    ),
    Rule(
        lambda c: c.margin_loss is MarginLoss.AM_SOFTMAX and c.margin >= 1,
        "margin_loss=am_softmax takes the margin from a cosine: set it below 1",
    ),
    Rule(
        lambda c: c.margin_loss is MarginLoss.ARCFACE and c.margin >= math.pi / 2,
        "margin_loss=arcface adds the margin to an angle, in radians: set it below 1.57",
    ),
    Rule(
        lambda c: c.margin_warmup_epochs > 0 and "margin" in c.hyperparameter_schedules,
        "margin_warmup_epochs and hyperparameter_schedules both change the margin: keep one",
    ),
    Rule(
        lambda c: _sampled(c) and (c.sub_centers > 1 or c.scale_mode is ScaleMode.ADACOS),
        "sampled_negatives sees a few groups a step; sub_centers and scale_mode=adacos need all of them",
    ),
    Rule(
        lambda c: _sampled(c) and c.weight_constraint is not WeightConstraint.NONE
        and c.constraint_target is ConstraintTarget.HEAD,
        "sampled_negatives changes a few rows of the head a step, weight_constraint would rewrite all: "
        "set constraint_target=bag",
    ),
    Rule(
        lambda c: c.weight_constraint is not WeightConstraint.NONE
        and c.constraint_target is ConstraintTarget.BAG and c.bag_weight == 0,
        "constraint_target=bag, but bag_weight is 0: there is no bag",
    ),
    Rule(
        lambda c: c.scale_mode is ScaleMode.ADACOS and "scale" in c.hyperparameter_schedules,
        "scale_mode=adacos sets the scale itself; take it out of hyperparameter_schedules",
    ),
)  # fmt: skip

_DOUBTFUL: Final = (
    Rule(
        lambda c: c.label_smoothing > 0.02 and c.objective.has_class_vectors,
        "label_smoothing above 0.02 works against the margin: it caps the true cosine",
    ),
    Rule(
        lambda c: c.center_loss_weight > 0 and c.objective.has_class_vectors,
        "center_loss_weight: on unit vectors the margin pulls towards a centre already; expect little",
    ),
    Rule(
        lambda c: (
            c.scale_mode is ScaleMode.ADACOS
            and c.objective.has_class_vectors
            and c.margin_loss is not MarginLoss.NORMALISED_SOFTMAX
        ),
        "scale_mode=adacos was made for no margin: margin_loss=normalised_softmax is its own",
    ),
    Rule(
        lambda c: c.margin_loss is MarginLoss.SIMPLER_A_SOFTMAX and c.objective.has_class_vectors,
        "margin_loss=simpler_a_softmax pushes sentences between 45 and 72 degrees away from their group: "
        "for reproducing the 2018 post only",
    ),
    Rule(
        lambda c: (
            c.multi_label_loss in (MultiLabelLoss.SOFT_F1, MultiLabelLoss.F1_WEIGHTED_BCE)
            and c.objective is Objective.MULTI_LABEL
            and c.batch_size < 64
        ),
        "soft_f1 and f1_weighted_bce count over the batch, which is noisy below 64 sentences",
    ),
    Rule(
        lambda c: (
            c.objective.has_class_vectors
            and c.logit_adjustment is LogitAdjustment.LOSS
            and c.monitor == "head_accuracy"
        ),
        "logit_adjustment favours small groups, monitor=head_accuracy large ones: monitor=head_macro_f1 fits better",
    ),
    Rule(
        lambda c: _floods(c) and c.patience > 0 and c.monitor == "loss",
        "a flooded loss is meant to stop falling: patience needs another monitor",
    ),
)

_HEAD: Final = _is(Objective.HEAD, Objective.JOINT)
_PAIRS: Final = _is(Objective.IN_BATCH, Objective.JOINT)

_MATTERS: Final[dict[str, Callable[[Config], bool]]] = {
    "margin_loss": _HEAD,
    "margin": lambda c: _HEAD(c) and c.margin_loss not in (MarginLoss.NORMALISED_SOFTMAX, MarginLoss.SIMPLER_A_SOFTMAX),
    "margin_warmup_epochs": lambda c: _HEAD(c) and c.margin_loss is not MarginLoss.NORMALISED_SOFTMAX,
    "scale": lambda c: c.objective is Objective.MULTI_LABEL or (_HEAD(c) and c.scale_mode is ScaleMode.FIXED),
    "scale_mode": _HEAD,
    "sub_centers": _HEAD,
    "sampled_negatives": _HEAD,
    "false_negative_threshold": _HEAD,
    "head_learning_rate": lambda c: _HEAD(c) or c.objective is Objective.MULTI_LABEL,
    "temperature": lambda c: c.objective.has_pairs,
    "pair_margin": _PAIRS,
    "pair_weight": _is(Objective.JOINT),
    "hard_batches": _PAIRS,
    "multi_label_loss": _is(Objective.MULTI_LABEL),
    "last_layer": _is(Objective.MULTI_LABEL),
    "positive_weight": lambda c: c.objective is Objective.MULTI_LABEL and c.multi_label_loss is MultiLabelLoss.BCE,
    "loss": _HEAD,
    "focal_gamma": lambda c: _HEAD(c) and c.loss is Loss.FOCAL,
    "truncation_sharpness": lambda c: _HEAD(c) and c.loss is Loss.SOFT_TRUNCATION,
    "label_smoothing": _HEAD,
    "class_weight": _HEAD,
    "class_weight_beta": lambda c: c.class_weight is ClassWeight.EFFECTIVE_NUMBER,
    "sampler": _is(Objective.HEAD),
    "sentences_per_group": lambda c: c.objective is Objective.HEAD and c.sampler is Sampler.PK,
    "max_per_group": _is(Objective.HEAD, Objective.JOINT, Objective.IN_BATCH),
    "logit_adjustment": _HEAD,
    "logit_adjustment_tau": lambda c: c.logit_adjustment is not LogitAdjustment.NONE,
    "center_loss_weight": _HEAD,
    "outlier_exposure_weight": _HEAD,
    "outlier_loss": lambda c: c.exposes_outliers,
    "no_match_cosine": lambda c: c.exposes_outliers,
    "synthetic_outliers": lambda c: c.exposes_outliers,
    "rdrop_on": _rdrop,
    "flood_mode": _floods,
    "false_accept_target": lambda c: c.threshold_rule == "false_accept_rate",
    "precision_target": lambda c: c.objective is not Objective.MULTI_LABEL,
    "label_threshold_rule": _is(Objective.MULTI_LABEL),
}
"""Where a setting changes anything."""
