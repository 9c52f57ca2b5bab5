"""When accepted feedback orders a training: counted in the database, so that no crash and no race miscounts."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.collection.tables import Collection
from app.feedback.keeping import FeedbackSettings
from app.feedback.repository import FeedbackRepository

OrderTraining = Callable[[Session, Collection, str], bool]
"""Orders a training of a collection in the transaction it is given, for whoever is named.

Returns whether it did; where it did not, since one is running, the next accepted item asks again.
"""


def order_if_due(session: Session, collection: Collection, who: str, order_training: OrderTraining) -> bool:
    """Order a training once enough was accepted, in the transaction that accepted it; whether it was ordered.

    Args:
        session: Of the unit of work.
        collection: Locked: two who accept at once count one after the other.
        who: Accepted the last item.
        order_training: See OrderTraining.
    """
    wanted = FeedbackSettings.of(collection.settings).auto_retrain_after
    repository = FeedbackRepository(session, collection.id)
    if wanted is None or repository.count_awaiting() < wanted:
        return False
    if not order_training(session, collection, who):
        return False
    training_ordered(session, collection.id)
    return True


def training_ordered(session: Session, collection_id: int) -> None:
    """Count from nothing again; called in the transaction that orders a training, whoever orders it."""
    FeedbackRepository(session, collection_id).clear_awaiting()
