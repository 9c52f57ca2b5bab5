"""The second half of the demo: a new group answers at once, a retraining learns it, the gate decides, a rollback."""

from collections.abc import Callable
from typing import Any, Final

from app.commands.client import Client
from app.commands.following import follow
from app.commands.releases import print_report
from app.errors import StartupError

NEW_GROUP: Final = "student_discount"
VARIANTS: Final = (
    "Is there a student discount?",
    "I'm at university, do I pay less?",
    "Which student card do you accept for the discount?",
    "My student status could not be verified",
    "How much cheaper is it for students?",
    "学生有优惠吗",
    "大学生买有折扣吗",
    "学生认证怎么通不过",
    "学生证可以打几折",
    "高中生算学生价吗",
)
QUESTION: Final = "I'm a student, 学生有折扣吗"


def retrain(client: Client, place: str, say: Callable[[str], None]) -> None:
    """Add a group, retrain, and show what the gate said; take the new release back, and let it answer again.

    Args:
        client: Of a server with the collection.
        place: Path of the collection.
        say: Tells the user.
    """
    if client.get(place)["active_release"] > 1:
        say("5. A retraining has been here before")
        return
    say(f"5. A new group, {NEW_GROUP!r}: it answers at once, by its sentences alone")
    records = [{"id": f"student-{n}", "text": text, "group": NEW_GROUP} for n, text in enumerate(VARIANTS)]
    client.post(f"{place}/records:batch", {"upsert": records}, wait="visible")
    _ask(client, place, say)
    say("6. Retraining on all records while the server goes on answering")
    job = follow(client, client.post(f"{place}/trainings", {"why": f"learn {NEW_GROUP}"})["id"])
    if job["state"] != "succeeded" and (job["error"] or {}).get("code") != "gate_refused":
        raise StartupError(f"the retraining {job['state']}: {job['error']}")
    number = job["result"]["release"]
    print_report(client.get(f"{place}/releases/{number}/report")["report"])
    if job["state"] != "succeeded":
        say("   the gate refused it: release 1 goes on answering")
        return
    _ask(client, place, say)
    say("7. Taking it back, and letting it answer again: both are kept up to date")
    _switch(client, f"{place}/releases/{number}:rollback", say)
    _switch(client, f"{place}/releases/{number}:promote", say)


def _ask(client: Client, place: str, say: Callable[[str], None]) -> None:
    found = client.post(f"{place}:classify", {"text": QUESTION, "top_n": 1})
    decision = found["results"][0]
    group = decision["groups"][0]["group"] if decision["groups"] else ""
    say(f"   release {found['release']}: {QUESTION} -> {decision['decision']} {group} {decision['confidence']:.2f}")


def _switch(client: Client, path: str, say: Callable[[str], None]) -> None:
    switched: dict[str, Any] = client.post(path, {"why": "to show it"})
    say(f"   release {switched['release']['number']} answers in place of {switched['before']}")
