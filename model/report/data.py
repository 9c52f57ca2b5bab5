"""What a report shows, as plain values: everything is counted and cut to size before it gets here."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One scalar of metrics.jsonl by epoch; both tuples are equally long."""

    name: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A stored sentence and its cosine to the one in question."""

    sentence: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A held-out sentence and the group it was given.

    Attributes:
        near_own, near_answered: The nearest other sentence of its own and of the answered group; None without any.
    """

    sentence: str
    group: str
    answered: str
    near_own: Near | None
    near_answered: Near | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Two groups that are taken for one another.

    Attributes:
        first, second: The groups; of `first` at least as many sentences go astray as of `second`.
        first_as_second, second_as_first: Held-out sentences, counted.
        first_size, second_size: Sentences of each group in the data.
        shared: Sentences of the data that stand in both.
        examples: Some of the wrong answers.
    """

    first: str
    second: str
    first_as_second: int
    second_as_first: int
    first_size: int
    second_size: int
    shared: int
    examples: tuple[Answer, ...]

    @property
    def n(self) -> int:
        """Wrong answers in both directions."""
        return self.first_as_second + self.second_as_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Precision, recall and F1 of a group or label over the held-out rows."""

    name: str
    n_true: int
    n_answered: int
    n_right: int

    @property
    def precision(self) -> float:
        """Share of the answers that are right; 0 where it was never answered."""
        return self.n_right / self.n_answered if self.n_answered else 0.0

    @property
    def recall(self) -> float:
        """Share of its sentences that are answered so; 0 where it has none."""
        return self.n_right / self.n_true if self.n_true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.n_right / (self.n_true + self.n_answered) if self.n_true + self.n_answered else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HardGroup:
    """A group with a low F1, and what its held-out sentences were taken for, wrong answers first."""

    figures: Figures
    size: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Decisions of similar confidence: mean confidence, and the share that is right."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether a confidence is what it says.

    Attributes:
        bins: In order of confidence.
        ece: Expected calibration error: mean distance of confidence and accuracy over the bins, by their counts.
        chance: What the ece of perfect confidences would be about, from so few sentences.
    """

    bins: tuple[Bin, ...]
    ece: float
    chance: float

    @property
    def n(self) -> int:
        """Decisions counted."""
        return sum(bin.n for bin in self.bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreHistogram:
    """Best scores of one kind of sentence.

    Attributes:
        kind: Which sentences.
        counts: One a bin; `ScoreSpread.edges` bounds them.
        n_answered: Those that were not refused.
    """

    kind: str
    counts: tuple[int, ...]
    n_answered: int

    @property
    def n(self) -> int:
        """Sentences of this kind."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSpread:
    """Scores in and out of scope, and the threshold between them.

    Attributes:
        edges: Of the bins, ascending, one more than counts.
        answered_strangers: Out-of-scope sentences that were answered, surest first, with the group.
        n_made: Made sentences that stand in for out-of-scope ones; none where single words cannot be taken apart.
    """

    edges: tuple[float, ...]
    threshold: float
    histograms: tuple[ScoreHistogram, ...]
    answered_strangers: tuple[tuple[Near, str], ...]
    n_made: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPoint:
    """A sentence on the map; x and y in [0, 1]; `slot` counts the named groups, None is any other group."""

    x: float
    y: float
    slot: int | None
    held_out: bool
    group: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingMap:
    """Embeddings in the plane, near ones near each other as far as a plane allows."""

    groups: tuple[str, ...]
    points: tuple[MapPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The data in numbers.

    Attributes:
        smallest, median, largest: Sentences a group, training and held-out.
        n_small: Groups of fewer than `SMALL_GROUP` sentences.
    """

    n_train: int
    n_held_out: int
    n_out_of_scope: int
    n_groups: int
    smallest: int
    median: float
    largest: int
    n_small: int


SMALL_GROUP = 5
"""A group with fewer sentences leaves little to learn from once some are held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A sentence that stands in more than one group."""

    sentence: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """A whole report. What a run does not have (nothing held out, no groups, no labels) is empty or None.

    Attributes:
        sizes: Of the data.
        findings: Sentences for the user: what was chosen and why.
        metrics: Of the held-out rows, by name.
        watched: Name of the metric that chose the checkpoint, empty where nothing was held out.
        kept_epoch: The epoch whose weights it kept, None where nothing was held out.
        curves: Every scalar of metrics.jsonl.
        answered_by: How a sentence gets its group in the counts below, in words.
        confusions, hard_groups: Worst first; `n_confusions` and `n_hard` count those left out too.
        n_duplicates, duplicates: All that stand in more than one group, and some of them.
        labels: Of a run with several labels a sentence, lowest F1 first.
        settings: Of the run; `seconds`: of its parts.
    """

    sizes: Sizes
    findings: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    watched: str = ""
    kept_epoch: int | None = None
    curves: tuple[Curve, ...] = ()
    answered_by: str = ""
    confusions: tuple[Confusion, ...] = ()
    n_confusions: int = 0
    hard_groups: tuple[HardGroup, ...] = ()
    n_hard: int = 0
    n_duplicates: int = 0
    duplicates: tuple[Duplicate, ...] = ()
    calibration: Calibration | None = None
    scores: ScoreSpread | None = None
    map: EmbeddingMap | None = None
    labels: tuple[Figures, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def curve(self, *names: str) -> Curve | None:
        """The first of these curves that is there."""
        by_name = {curve.name: curve for curve in self.curves}
        return next((by_name[name] for name in names if name in by_name), None)
