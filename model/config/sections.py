"""The settings by subject; a run's Config is all of them in one flat, frozen object."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model.config.kinds import (
    ClassWeight,
    ConstraintBy,
    ConstraintTarget,
    Device,
    FloodMode,
    LabelThresholdRule,
    LastLayer,
    LogitAdjustment,
    Loss,
    MarginLoss,
    Monitor,
    MultiLabelLoss,
    Objective,
    OutlierLoss,
    Pooling,
    Precision,
    RDropOn,
    Sampler,
    ScaleMode,
    ScheduleShape,
    Split,
    TableStart,
    ThresholdRule,
    WeightConstraint,
)
from model.contract.deciding.evidence import OutOfScopeScore

SchedulePoints = list[tuple[float, float]]
"""(share of the run, value), joined by straight lines."""


class Section(BaseModel):
    """A set of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextSettings(Section):
    """Text."""

    max_tokens: int = Field(default=64, ge=1, le=512, description="Tokens kept of a sentence.")
    min_frequency: int = Field(
        default=1, ge=1, description="Times a word must occur in the training rows to get its own row."
    )
    min_frequency_cjk: int = Field(default=1, ge=1, description="The same for a CJK character.")
    buckets: int = Field(default=8192, ge=0, le=2**24, description="Rows of the hashed gram table; 0 turns grams off.")


class EncoderSettings(Section):
    """Encoder."""

    word_dim: int = Field(default=128, ge=8, le=1024, description="Width of a token vector. Chosen from the data.")
    hidden_size: int = Field(default=128, ge=8, le=1024, description="GRU units in each direction.")
    num_layers: int = Field(default=1, ge=1, le=4, description="Layers of the GRU.")
    bidirectional: bool = Field(default=True, description="Read in both directions; the embedding is twice as wide.")
    pooling: Pooling = Field(default=Pooling.MAX, description="How the states of a sentence become one vector.")
    bag_weight: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Weight of the bag-of-tokens path beside the GRU. Chosen from the data.",
    )
    table_start: TableStart = Field(
        default=TableStart.RANDOM,
        description="Token rows begin at random, or with a latent semantic analysis. Chosen from the data.",
    )
    embedding_init_std: float = Field(default=0.1, gt=0, description="Standard deviation of the tables at the start.")
    embedding_dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout of token vectors.")
    output_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout of the pooled vector.")
    embedding_noise_std: float = Field(
        default=0.0, ge=0, description="Gaussian noise on token vectors, in training only."
    )


class ObjectiveSettings(Section):
    """Objective."""

    objective: Objective = Field(
        default=Objective.AUTO,
        description="head: margin softmax over groups; in_batch: over pairs in the batch; joint: both; multi_label: "
        "several labels a sentence; sim_cse: sentences alone; auto: by the data.",
    )
    margin_loss: MarginLoss = Field(default=MarginLoss.AM_SOFTMAX, description="The margin of the head.")
    margin: float = Field(
        default=0.35,
        ge=0,
        le=8,
        description="m: a cosine (am_softmax), radians (arcface), or a whole factor (a_softmax).",
    )
    margin_warmup_epochs: float = Field(default=0.0, ge=0, description="Epochs in which the margin grows from nothing.")
    scale: float = Field(default=30.0, gt=0, description="s, multiplies the cosines.")
    scale_mode: ScaleMode = Field(
        default=ScaleMode.FIXED, description="fixed, or adacos: adapted each step; ignores scale."
    )
    sub_centers: int = Field(default=1, ge=1, le=16, description="Class vectors a group; the nearest counts.")
    sampled_negatives: int = Field(
        default=0, ge=0, description="Groups drawn a step beside the batch's own; 0 for all. Chosen from the data."
    )
    false_negative_threshold: float = Field(
        default=0.0, ge=0, lt=1, description="Other groups with a cosine above it are no negatives; 0 for off."
    )
    temperature: float = Field(default=0.05, gt=0, description="Of the in-batch softmax. Chosen from the data.")
    pair_margin: float = Field(default=0.2, ge=0, lt=1, description="Taken from a pair's cosine in the batch.")
    pair_weight: float = Field(
        default=5.0, gt=0, description="Weight of the in-batch loss beside the head's, in joint."
    )
    hard_batches: bool = Field(default=False, description="Fill in-batch batches with neighbouring groups.")
    multi_label_loss: MultiLabelLoss = Field(default=MultiLabelLoss.ZLPR, description="Loss of several labels.")
    last_layer: LastLayer = Field(
        default=LastLayer.TRAINED,
        description="Scores of several labels as trained, or fitted anew on the finished encoder (svm), also with "
        "those of the words themselves added (svm_and_words). Chosen from the data.",
    )
    positive_weight: float = Field(default=1.0, gt=0, description="Weight of the labels that hold, in bce.")


class ImbalanceSettings(Section):
    """Imbalance of the groups."""

    loss: Loss = Field(default=Loss.CROSS_ENTROPY, description="What the logits of one sentence cost.")
    focal_gamma: float = Field(default=2.0, ge=0, description="Of the focal loss.")
    truncation_sharpness: float = Field(default=1.0, gt=0, description="K of soft_truncation.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of the target spread over all groups.")
    class_weight: ClassWeight = Field(
        default=ClassWeight.NONE, description="Weight of a sentence by the size of its group."
    )
    class_weight_beta: float = Field(default=0.999, gt=0, lt=1, description="Beta of effective_number.")
    sampler: Sampler = Field(default=Sampler.UNIFORM, description="Which sentences an epoch visits.")
    sentences_per_group: int = Field(default=4, ge=2, le=64, description="K of the pk sampler; P is batch_size / K.")
    max_per_group: int = Field(default=0, ge=0, description="Most sentences of a group in an epoch; 0 for all.")
    logit_adjustment: LogitAdjustment = Field(
        default=LogitAdjustment.NONE, description="Where the groups' prior enters."
    )
    logit_adjustment_tau: float = Field(default=1.0, ge=0, description="Strength of the prior.")


class RegularisationSettings(Section):
    """Regularisation."""

    rdrop_alpha: float = Field(default=0.0, ge=0, description="Weight of R-Drop's divergence, per sentence; 0 for off.")
    rdrop_on: RDropOn = Field(default=RDropOn.LOGITS, description="What the two passes have to agree in.")
    rdrop_unlabelled_weight: float = Field(
        default=0.0, ge=0, description="Weight of R-Drop on the sentences of --unlabelled; 0 for off."
    )
    flood_level: float = Field(default=0.0, ge=0, description="Loss below which a step climbs again; 0 for off.")
    flood_mode: FloodMode = Field(
        default=FloodMode.BATCH, description="Flood the batch's mean loss, or each sentence's."
    )
    center_loss_weight: float = Field(default=0.0, ge=0, description="Weight of the center loss; 0 for off.")
    outlier_exposure_weight: float = Field(
        default=0.0, ge=0, description="Weight of the loss on sentences of no group; 0 for off. Chosen from the data."
    )
    outlier_loss: OutlierLoss = Field(
        default=OutlierLoss.NO_MATCH,
        description="Sentences of no group lie below no_match_cosine of every group, or as near to all (uniform).",
    )
    no_match_cosine: float = Field(
        default=0.4, gt=0, lt=1, description="Cosine at which training sentences and those of no group are parted."
    )
    synthetic_outliers: bool = Field(
        default=True, description="Learn from made sentences of no group too, beside those that are given."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled weight decay of the recurrent and linear weights."
    )
    weight_constraint: WeightConstraint = Field(default=WeightConstraint.NONE, description="What weights are held to.")
    constraint_target: ConstraintTarget = Field(default=ConstraintTarget.HEAD, description="Which weights.")
    constraint_by: ConstraintBy = Field(
        default=ConstraintBy.PROJECTION, description="After each step, or by construction."
    )
    max_norm: float = Field(default=1.0, gt=0, description="Largest norm of a row, or largest singular value.")


class OptimisationSettings(Section):
    """Optimisation."""

    epochs: int = Field(default=8, ge=1, description="Passes over the data. Chosen from the data.")
    batch_size: int = Field(default=64, ge=2, description="Sentences a batch. Chosen from the data.")
    gradient_accumulation_steps: int = Field(default=1, ge=1, description="Batches whose gradients make one step.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Of Adam.")
    head_learning_rate: float = Field(default=0.0, ge=0, description="Of the class vectors; 0 for the same.")
    schedule: ScheduleShape = Field(default=ScheduleShape.COSINE, description="The learning rate after its warm-up.")
    schedule_steps: SchedulePoints = Field(
        default=[(0.6, 0.1), (0.85, 0.01)], description="Of schedule=step: from this share of the run on, this factor."
    )
    warmup_share: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps in which the learning rate grows."
    )
    hyperparameter_schedules: dict[str, SchedulePoints] = Field(
        default={}, description='JSON, e.g. {"margin": [[0, 0], [0.2, 0.35]]}: points (share of the run, value).'
    )
    clip_norm: float = Field(default=1.0, ge=0, description="Largest gradient norm, 0 for any.")
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="Decay of the averaged weights that are kept; 0 for off."
    )
    precision: Precision = Field(default=Precision.FLOAT32, description="Number format of the encoder's arithmetic.")
    device: Device = Field(default=Device.AUTO, description="auto takes a GPU where there is one.")
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads, 0 for all.")


class WatchSettings(Section):
    """Watching."""

    monitor: Monitor = Field(default=Monitor.AUTO, description="Metric that chooses the epoch that is kept.")
    patience: int = Field(
        default=0, ge=0, description="Stop after so many epochs without a better monitor; 0 for never."
    )
    checkpoint_every_s: float = Field(default=60.0, gt=0, description="Seconds between checkpoints inside an epoch.")


class DecisionSettings(Section):
    """Decision."""

    out_of_scope_score: OutOfScopeScore | None = Field(
        default=None,
        description="Which score decides that nothing matches; none takes what is best on held-out rows.",
    )
    threshold_rule: ThresholdRule = Field(default=ThresholdRule.BALANCED, description="How the threshold is chosen.")
    false_accept_target: float = Field(
        default=0.05, gt=0, lt=1, description="Of false_accept_rate: largest share of strangers that may be answered."
    )
    precision_target: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Least share of matched answers that is right, on held-out rows and strangers: a margin between "
        "the best two groups is chosen for it, and nearer ones are ambiguous. None leaves none ambiguous.",
    )
    label_threshold_rule: LabelThresholdRule = Field(
        default=LabelThresholdRule.ZERO, description="From which confidence a label counts: zero is 0.5, as trained."
    )


class RunSettings(Section):
    """Run."""

    split: Split = Field(default=Split.ROWS, description="What is held out. Chosen from the data.")
    refit: bool = Field(
        default=False, description="Train once more on all rows, the held-out ones too. Chosen from the data."
    )
    valid_share: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the rows held out where no --valid is given."
    )
    most_valid: int = Field(default=1000, ge=1, description="Most rows held out.")
    keep_out: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the sentences of every file, by a hash of the text, that is left out altogether: a "
        "service judges releases by the 0.1 of its records that its trainings leave out so.",
    )
    storage: Literal["float32", "float16"] = Field(default="float16", description="Number format of encoder.onnx.")


SECTIONS = (
    TextSettings,
    EncoderSettings,
    ObjectiveSettings,
    ImbalanceSettings,
    RegularisationSettings,
    OptimisationSettings,
    WatchSettings,
    DecisionSettings,
    RunSettings,
)


class Config(
    RunSettings,
    DecisionSettings,
    WatchSettings,
    OptimisationSettings,
    RegularisationSettings,
    ImbalanceSettings,
    ObjectiveSettings,
    EncoderSettings,
    TextSettings,
):
    """All settings of a run; `--set name=value` changes one, `samesay settings` lists them.

    Those "chosen from the data", unless somebody set them, are filled in by model/data/choices.py.
    """

    def uses(self, name: str) -> bool:
        """Whether a weight or level is other than 0, now or by its schedule."""
        return bool(getattr(self, name)) or name in self.hyperparameter_schedules

    @property
    def exposes_outliers(self) -> bool:
        """Whether sentences of no group are learnt from, which takes class vectors to keep them away from."""
        return self.objective.has_class_vectors and self.uses("outlier_exposure_weight")

    @property
    def posthoc_tau(self) -> float:
        """Share of the training prior to be taken out of the scores once training is over."""
        return self.logit_adjustment_tau if self.logit_adjustment is LogitAdjustment.POSTHOC else 0.0
