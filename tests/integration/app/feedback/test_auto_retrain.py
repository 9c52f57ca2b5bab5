"""auto_retrain_after: the item that makes it enough orders a training, once, in the transaction that accepted it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import container as wiring
from app.collection.tables import Collection
from app.errors import OverloadedError
from app.feedback.retraining import training_ordered
from app.settings import Settings
from tests.conftest import sqlite_only
from tests.fakes.problems import assert_problem
from tests.fakes.running import running
from tests.integration.app.feedback.test_feedback import Feedback


@dataclass
class Orders:
    """Stands for what orders trainings: a row of its own in the transaction it is given, as a job would be."""

    refuses: bool = False
    fails: bool = False
    asked: int = 0
    who: list[str] = field(default_factory=list)

    def order(self, session: Session, collection: Collection, who: str) -> bool:
        self.asked += 1
        if self.fails:
            raise OverloadedError("too many jobs: try again later")
        if self.refuses:
            return False
        self.who.append(who)
        collection.settings = {**collection.settings, "description": f"{ordered_of(collection) + 1} ordered"}
        return True


def ordered_of(collection: Collection) -> int:
    return int(collection.settings.get("description", "0").split()[0])


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def feedback(registered: Settings, orders: Orders, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feedback]:
    monkeypatch.setattr(wiring, "order_by_itself", orders.order)
    with running(registered) as service:
        yield Feedback(service)


def n_ordered(feedback: Feedback) -> int:
    database = feedback.service.container.database
    return database.read(
        lambda session: ordered_of(session.scalars(select(Collection).where(Collection.name == feedback.name)).one())
    )


def set_after(feedback: Feedback, n: int | None) -> None:
    feedback.client.patch(feedback.collection, json={"auto_retrain_after": n}).raise_for_status()


def accept(feedback: Feedback, text: str) -> None:
    key = feedback.give(text, "right_group", group="g")
    assert feedback.patch(key, state="accepted").status_code == 200


def test_the_item_that_makes_it_enough_orders_a_training(feedback: Feedback, orders: Orders) -> None:
    accept(feedback, "before it was wanted")
    set_after(feedback, 3)
    accept(feedback, "second")
    accept(feedback, "second")  # brings nothing new
    feedback.patch(feedback.give("rejected"), state="rejected")
    assert (n_ordered(feedback), orders.asked) == (0, 0)
    accept(feedback, "third")
    assert (n_ordered(feedback), orders.who) == (1, ["anonymous"])
    ids = [feedback.give(f"more {n}", "right_group", group="g") for n in range(7)]
    answer = feedback.resolve(ids, state="accepted")
    assert (answer["training_ordered"], n_ordered(feedback)) == (True, 2), "once for all of a batch"
    answer = feedback.resolve(ids, state="accepted")
    assert (answer["training_ordered"], n_ordered(feedback)) == (False, 2)
    set_after(feedback, None)
    for n in range(4):
        accept(feedback, f"never {n}")
    assert n_ordered(feedback) == 2


@sqlite_only
def test_a_training_that_runs_already_is_asked_for_again_by_the_next_item(feedback: Feedback, orders: Orders) -> None:
    set_after(feedback, 2)
    orders.refuses = True
    for n in range(4):
        accept(feedback, f"text {n}")
    assert (n_ordered(feedback), orders.asked) == (0, 3)
    orders.refuses = False
    accept(feedback, "text 4")
    assert (n_ordered(feedback), orders.asked) == (1, 4)
    accept(feedback, "text 5")
    assert (n_ordered(feedback), orders.asked) == (1, 4), "all of them were counted"


@sqlite_only
def test_a_training_ordered_by_hand_begins_the_count_anew(feedback: Feedback, orders: Orders) -> None:
    set_after(feedback, 2)
    accept(feedback, "first")
    database = feedback.service.container.database
    (collection_id,) = database.read(lambda session: list(session.scalars(select(Collection.id))))
    database.write(lambda session: training_ordered(session, collection_id)).result()
    accept(feedback, "second")
    assert orders.asked == 0
    accept(feedback, "third")
    assert n_ordered(feedback) == 1


@sqlite_only
def test_where_ordering_fails_nothing_is_accepted(feedback: Feedback, orders: Orders) -> None:
    set_after(feedback, 1)
    orders.fails = True
    key = feedback.give("refund me", "right_group", group="g")
    assert_problem(feedback.patch(key, state="accepted"), 503, "overloaded")
    assert (feedback.get(key)["state"], feedback.records(), feedback.last_seq()) == ("pending", {}, 0)
    orders.fails = False
    assert feedback.patch(key, state="accepted").status_code == 200
    assert n_ordered(feedback) == 1


def test_the_count_is_exact_when_many_accept_at_the_same_time(feedback: Feedback) -> None:
    set_after(feedback, 5)
    keys = [feedback.give(f"text {n}", "right_group", group=f"g{n % 3}") for n in range(43)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda key: feedback.patch(key, state="accepted").status_code, keys))
    assert answers == [200] * 43
    assert n_ordered(feedback) == 43 // 5
    assert feedback.last_seq() == 43


@sqlite_only
def test_without_trainings_items_go_on_being_counted(registered: Settings) -> None:
    with running(registered) as service:
        feedback = Feedback(service)
        set_after(feedback, 1)
        accept(feedback, "refund me")
        ids = [feedback.give("money back", "right_group", group="g")]
        assert feedback.resolve(ids, state="accepted")["training_ordered"] is False
