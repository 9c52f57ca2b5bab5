"""The settings that are one word out of a few."""

from enum import StrEnum
from typing import Final


class Objective(StrEnum):
    """What is minimised."""

    AUTO = "auto"
    HEAD = "head"
    IN_BATCH = "in_batch"
    JOINT = "joint"
    MULTI_LABEL = "multi_label"
    SIM_CSE = "sim_cse"

    @property
    def has_groups(self) -> bool:
        """Whether it learns from one group a sentence."""
        return self in (Objective.HEAD, Objective.IN_BATCH, Objective.JOINT)

    @property
    def has_class_vectors(self) -> bool:
        """Whether it trains one class vector a group."""
        return self in (Objective.HEAD, Objective.JOINT)

    @property
    def has_pairs(self) -> bool:
        """Whether sentences of the batch are each other's negatives."""
        return self in (Objective.IN_BATCH, Objective.JOINT, Objective.SIM_CSE)


class Pooling(StrEnum):
    """How the states of a sentence become one vector."""

    MAX = "max"
    MEAN = "mean"
    LAST = "last"


class Split(StrEnum):
    """What is held out for validation where no file is given."""

    GROUPS = "groups"
    ROWS = "rows"


class TableStart(StrEnum):
    """Where the token and gram rows begin."""

    RANDOM = "random"
    LEXICAL = "lexical"


class MarginLoss(StrEnum):
    """What is done to the true label's cosine before the softmax."""

    AM_SOFTMAX = "am_softmax"
    ARCFACE = "arcface"
    A_SOFTMAX = "a_softmax"
    SIMPLER_A_SOFTMAX = "simpler_a_softmax"
    NORMALISED_SOFTMAX = "normalised_softmax"


class ScaleMode(StrEnum):
    """Where the scale of the logits comes from."""

    FIXED = "fixed"
    ADACOS = "adacos"


class Loss(StrEnum):
    """What the logits of one sentence cost."""

    CROSS_ENTROPY = "cross_entropy"
    FOCAL = "focal"
    HARD_TRUNCATION = "hard_truncation"
    SOFT_TRUNCATION = "soft_truncation"


class MultiLabelLoss(StrEnum):
    """What the scores of one sentence with several labels cost."""

    ZLPR = "zlpr"
    BCE = "bce"
    SOFT_F1 = "soft_f1"
    F1_WEIGHTED_BCE = "f1_weighted_bce"


class LastLayer(StrEnum):
    """Where the scores of several labels come from."""

    TRAINED = "trained"
    SVM = "svm"
    SVM_AND_WORDS = "svm_and_words"


class ClassWeight(StrEnum):
    """How much a sentence counts, by the size of its group."""

    NONE = "none"
    BALANCED = "balanced"
    EFFECTIVE_NUMBER = "effective_number"


class Sampler(StrEnum):
    """Which sentences an epoch visits."""

    UNIFORM = "uniform"
    CLASS_BALANCED = "class_balanced"
    PK = "pk"


class LogitAdjustment(StrEnum):
    """Where the prior of the groups enters."""

    NONE = "none"
    LOSS = "loss"
    POSTHOC = "posthoc"


class RDropOn(StrEnum):
    """What the two passes of R-Drop have to agree in."""

    LOGITS = "logits"
    EMBEDDINGS = "embeddings"


class FloodMode(StrEnum):
    """Whether the mean loss is flooded, or that of each sentence."""

    BATCH = "batch"
    INSTANCE = "instance"


class OutlierLoss(StrEnum):
    """What sentences of no group are trained to be."""

    NO_MATCH = "no_match"
    UNIFORM = "uniform"


class WeightConstraint(StrEnum):
    """What a weight matrix is held to."""

    NONE = "none"
    UNIT_NORM = "unit_norm"
    MAX_NORM = "max_norm"
    SPECTRAL_NORM = "spectral_norm"


class ConstraintTarget(StrEnum):
    """Which weights are constrained."""

    HEAD = "head"
    BAG = "bag"


class ConstraintBy(StrEnum):
    """Whether weights are put back after each step or expressed so that they cannot leave."""

    PROJECTION = "projection"
    PARAMETRISATION = "parametrisation"


class Precision(StrEnum):
    """Number format of the encoder's arithmetic in training; class scores are float32 always."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Device(StrEnum):
    """Where training runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class ScheduleShape(StrEnum):
    """The learning rate after its warm-up."""

    COSINE = "cosine"
    LINEAR = "linear"
    STEP = "step"
    CONSTANT = "constant"


class ThresholdRule(StrEnum):
    """What the threshold of "no match" is chosen for."""

    BALANCED = "balanced"
    """As large a share of sentences answered rightly as of strangers refused."""
    FALSE_ACCEPT_RATE = "false_accept_rate"


class LabelThresholdRule(StrEnum):
    """How the least confidence of a label is chosen."""

    ZERO = "zero"
    """The score 0, confidence 0.5: what the losses train for."""
    GLOBAL = "global"
    """One for all, of the highest micro-F1; for small sets."""
    PER_LABEL = "per_label"
    """One for each label with enough sentences, of its highest F1; the global one for the others; for large sets."""


class Monitor(StrEnum):
    """The metric that chooses the checkpoint; which of them a run can watch depends on its objective and its data."""

    AUTO = "auto"
    LOSS = "loss"
    HEAD_ACCURACY = "head_accuracy"
    HEAD_MACRO_F1 = "head_macro_f1"
    KNN1 = "knn1"
    KNN5 = "knn5"
    HIT_RATE_1 = "hit_rate@1"
    HIT_RATE_5 = "hit_rate@5"
    HIT_RATE_10 = "hit_rate@10"
    MRR_10 = "mrr@10"
    MAP_R = "map@r"
    MICRO_F1 = "micro_f1"
    MACRO_F1 = "macro_f1"
    EXACT_MATCH = "exact_match"
    LABEL_RANKING_LOSS = "label_ranking_loss"
    ECE = "ece"


OF_HEAD: Final = (Monitor.HEAD_ACCURACY, Monitor.HEAD_MACRO_F1)
"""Of known groups, where there are class vectors."""
OF_NEIGHBOURS: Final = (Monitor.KNN1, Monitor.KNN5)
"""Of known groups."""
OF_RANKS: Final = (Monitor.HIT_RATE_1, Monitor.HIT_RATE_5, Monitor.HIT_RATE_10, Monitor.MRR_10, Monitor.MAP_R)
"""Of unseen groups."""
OF_LABELS: Final = (
    Monitor.MICRO_F1,
    Monitor.MACRO_F1,
    Monitor.EXACT_MATCH,
    Monitor.LABEL_RANKING_LOSS,
    Monitor.ECE,
)
"""Of several labels a sentence."""


class ProgressForm(StrEnum):
    """How a run tells where it stands."""

    AUTO = "auto"
    TERMINAL = "terminal"
    PLAIN = "plain"
    JSON = "json"
