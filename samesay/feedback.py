"""What people say of answers."""

from collections.abc import Mapping
from typing import Literal

from samesay.answers import FeedbackReceipt, MetadataValue
from samesay.calls import Call, Repeat, changing, given
from samesay.operations import OfCollection, X, operation


class Feedback(OfCollection[X]):
    """The feedback on a collection."""

    @operation
    def give(
        self,
        text: str,
        verdict: Literal["right_group", "out_of_scope", "wrong_answer"],
        *,
        group: str | None = None,
        answer_id: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
    ) -> Call[FeedbackReceipt]:
        """Say what the right answer to a sentence is, or that the answer was wrong; durable when answered.

        Args:
            text: The sentence.
            verdict: It belongs to `group`; to none; or nobody knows yet.
            group: With "right_group", and only then.
            answer_id: One of the answer_ids of the answer.
        """
        body = given(text=text, verdict=verdict, group=group, answer_id=answer_id, metadata=metadata)
        return changing("POST", self._path("feedback"), FeedbackReceipt, body=body, repeat=Repeat.WITH_KEY)
