"""The page itself: well-formed, self-contained, bounded, escaped whatever the sentences hold, and seen by a browser."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from model.contract.deciding.decision import DecisionParameters
from model.data.training_data import TrainingData
from model.report.data import ReportData
from model.report.gather import gather
from model.report.page import render, write_report
from tests.fakes.finished_run import make_answers, make_data

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg></style><style>body{display:none}</style>",
    "]]> &amp; &lt; <!-- --",
    "lone \ud800 surrogate",
    "null \x00 bell \x07 escape \x1b[31m",
    "\u202egnp.exe right to left",
    "not a character \uffff",
    "人 👩‍👩‍👧 'quote'",
)
PLAIN = ("how do I pay", "where is it", "cancel please", "too late", "who are you")
MOST_BYTES = 3_000_000
VOID = {"meta", "wbr"}


def report_of(data: TrainingData, *, n_epochs: int = 12) -> ReportData:
    rng = np.random.default_rng(0)
    epochs = [{"epoch": epoch, "loss": 1 / epoch, "head_accuracy": 1 - 1 / epoch} for epoch in range(1, n_epochs + 1)]
    return gather(
        data,
        make_answers(data, rng),
        epochs=epochs,
        decision=DecisionParameters(threshold=0.4),
        metrics={"head_accuracy": 0.8125, "kept_epoch": 5},
        seconds={"training": 12.34},
    )


def data_of(texts: tuple[str, ...], n: int = 120) -> TrainingData:
    """Every text as a sentence, a group and a finding."""
    pairs = [(f"{texts[number % len(texts)]} {number}", f"{texts[number * 7 % len(texts)]}") for number in range(n)]
    return make_data(pairs[: n // 2], pairs[n // 2 :], list(texts), list(texts))


@pytest.fixture(scope="module")
def page() -> str:
    return render(report_of(data_of(PLAIN)))


class Checker(HTMLParser):
    """Fails at a tag that is not closed, or closed by another; collects what could load or run something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_every_tag_is_closed_and_the_page_is_xml_too(page: str) -> None:
    checked(page)
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    anchors = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(anchors) == len(set(anchors))
    links = {link.get("href") for link in root.iter("a")}
    assert links == {f"#{section.get('id')}" for section in root.iter("section")}
    assert len(links) >= 8


def test_it_needs_nothing_from_outside_and_no_script(page: str) -> None:
    checker = checked(page)
    assert not checker.tags & {"script", "link", "img", "iframe", "object", "image", "use", "foreignobject"}
    for name, value in checker.attributes:
        assert not name.startswith("on")
        assert name != "src"
        assert name != "href" or (value or "").startswith("#")
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in page


def test_tables_have_headers_and_pictures_have_titles(page: str) -> None:
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    tables = list(root.iter("table"))
    assert len(tables) > 5
    for table in tables:
        assert table.findtext("caption")
        headers = table.findall("thead/tr/th")
        assert all(header.get("scope") == "col" for header in headers)
        for row in table.findall("tbody/tr"):
            assert len(row) == len(headers)
            assert row[0].tag == "th"
    assert all(caption.text for caption in root.iter("figcaption"))
    for picture in root.iter("svg"):
        assert picture.get("aria-hidden") == "true" or picture.findtext("title") == picture.get("aria-label")


def test_the_figures_are_on_the_page(page: str) -> None:
    text = " ".join(checked(page).text)
    report = report_of(data_of(PLAIN))
    assert "0.812" in text  # the metric, rounded half to even
    assert "threshold 0.400" in text
    assert "12.3 s" in text
    assert report.calibration is not None
    assert f"{report.calibration.ece:.3f}" in text
    for confusion in report.confusions:
        assert f"{confusion.first} ↔ {confusion.second}: {confusion.n} time" in text


def test_sentences_stay_text_whatever_they_hold() -> None:
    page = render(report_of(data_of(HOSTILE)))
    page.encode("utf-8")  # lone surrogates are gone
    checker = checked(page)
    ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # and so is what XML forbids
    assert not checker.tags & {"script", "img"}
    text = "".join(checker.text)
    for shown in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&amp; &lt;", "lone � surrogate"):
        assert shown in text


def test_fifty_thousand_long_hostile_rows_stay_small() -> None:
    longest = '&"' * 3000  # six bytes for one once escaped
    groups = [f"{longest[:500]}{number}" for number in range(700)]
    pairs = [(f"{number}{longest}"[: 4000 if number % 9 else 6000], groups[number % 700]) for number in range(3000)]
    many = [(f"{number} &&&&", groups[number % 700]) for number in range(47_000)]
    data = make_data([*many, *pairs[:1000]], pairs[1000:], [longest] * 300, [longest] * 1000)
    page = render(report_of(data, n_epochs=5000))
    assert 100_000 < len(page.encode()) < MOST_BYTES
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    texts = [text for element in root.iter() if element.tag != "style" for text in (element.text, element.tail) if text]
    assert max(len(text) for text in texts) <= 700  # a finding may be 600, a sentence 160


def test_little_data_gives_a_page_too() -> None:
    for data in (make_data([("a", "x"), ("b", "y")], []), make_data([("a", "x"), ("b", "y")], [("c", "x")])):
        checked(render(report_of(data, n_epochs=1)))
    bare = make_data([("a", "x"), ("b", "y")], [])
    nothing = gather(bare, None, epochs=[], decision=DecisionParameters(), metrics={}, seconds={})
    assert "nothing is measured" in "".join(checked(render(nothing)).text)


def test_the_same_data_gives_the_same_page(page: str) -> None:
    again = report_of(data_of(PLAIN))
    assert render(again) == page


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    report = report_of(data_of(("a", "b", "c")))
    write_report(path, report)
    assert path.read_text(encoding="utf-8") == render(report)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        write_report(path, report_of(data_of(("x", "y", "z"))))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the report in")
@pytest.mark.parametrize("texts", [PLAIN, HOSTILE], ids=["plain", "hostile"])
def test_a_browser_sees_the_same_elements_and_text(texts: tuple[str, ...], tmp_path: Path) -> None:
    page = render(report_of(data_of(texts)))
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [str(CHROMIUM), *options, "--dump-dom", file.as_uri()]
    seen = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()
    ours, theirs = (ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n")) for text in (page, as_xml(seen)))
    assert [element.tag for element in theirs.iter()] == [element.tag for element in ours.iter()]
    assert "".join(theirs.itertext()).split() == "".join(ours.itertext()).split()


def as_xml(dom: str) -> str:
    """A dumped document in XML's spelling: void elements closed, the one entity written out."""
    return re.sub(r"<(meta|wbr)([^>]*)>", r"<\1\2/>", dom.removeprefix("<!DOCTYPE html>")).replace("&nbsp;", "\xa0")
