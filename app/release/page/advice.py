"""What a person may do: groups that are confused, with the sentences behind it, and what is odd about the records."""

from collections.abc import Mapping
from typing import Any, Final

from app.release.page.source import MOST_SENTENCES, PageSource, findings_by_kind
from app.release.page.wording import bullets, count, figure, pairs, worded
from model.contract.markup import Html, element, join

_ADVICE: Final = {"move": "Move a sentence", "merge": "Merge the groups", "add_variants": "Add variants"}


def draw_confusions(source: PageSource) -> Html | None:
    """Pairs of groups, the most confused first."""
    found = source.verdict.get("confusions")
    if not found:
        return None
    return element("section", element("h2", "Confusions"), *(_confusion(source, confusion) for confusion in found))


def draw_data(source: PageSource) -> Html:
    """What the records are, and what is odd about them."""
    check, data = source.check, source.report.get("data", {})
    counts = [(worded(name), figure(value)) for name, value in check.get("counts", {}).items()]
    counts += [(worded(name), figure(value)) for name, value in data.items() if name == "seq"]
    counts += [("compared with all others", figure(check["compared"]))] if "compared" in check else []
    counts += [("sha256", data["sha256"])] if "sha256" in data else []
    totals = check.get("totals", {})
    kinds = [
        _findings(source, kind, shown, totals.get(kind, len(shown))) for kind, shown in findings_by_kind(check).items()
    ]
    fatal = check.get("fatal")
    return element(
        "section",
        element("h2", "Records"),
        element("p", fatal["detail"], class_="bad") if fatal else "",
        pairs(counts),
        *(kinds or [element("p", "Nothing odd was found about them.")]),
    )


def _confusion(source: PageSource, confusion: Mapping[str, Any]) -> Html:
    title = f"{confusion['group']} taken for {confusion['given']}: {count(confusion['n'], 'sentence')}"
    asked = source.sentences.show_all(confusion["asked"][:MOST_SENTENCES])
    causes = source.sentences.show_all(confusion["caused_by"][:MOST_SENTENCES])
    return element(
        "article",
        element("h3", title),
        element("p", element("strong", f"{_ADVICE.get(confusion['advice'], confusion['advice'])}: "), confusion["why"]),
        element("p", f"Asked, of {confusion['group']}:", class_="soft"),
        bullets(asked),
        join(element("p", f"Nearest to them in {confusion['given']}:", class_="soft"), bullets(causes))
        if causes
        else "",
    )


def _findings(source: PageSource, kind: str, shown: list[Mapping[str, Any]], total: int) -> Html:
    of = f"{total:,}" if total == len(shown) else f"{total:,}, of which {len(shown)} are shown"
    items = [
        join(
            ", ".join(finding["groups"]),
            ": ",
            finding["detail"],
            bullets(source.sentences.show_all(finding["ids"][:MOST_SENTENCES])),
        )
        for finding in shown
    ]
    return element("details", element("summary", f"{worded(kind)}: {of}"), bullets(items))
