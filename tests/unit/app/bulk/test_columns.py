"""Which column is which of ours."""

import pytest

from app.bulk.reading.columns import ColumnMap, Plan
from app.bulk.reading.rows import UploadCode, UploadError


def plan(found: list[str], renames: dict[str, str] | None = None) -> Plan:
    return ColumnMap(renames).plan(found)


def refused(found: list[str], renames: dict[str, str] | None = None, *, of_every_row: bool = True) -> UploadError:
    with pytest.raises(UploadError) as caught:
        ColumnMap(renames).choose(found, of_every_row=of_every_row)
    return caught.value


def test_usual_names_whatever_their_case() -> None:
    found = plan(["Intent", " Question ", "TAGS", "Standard_Question", "record_id", "role", "metadata", "payload"])
    assert found == Plan(
        text=" Question ",
        group="Intent",
        labels="TAGS",
        title="Standard_Question",
        payload="payload",
        id="record_id",
        role="role",
        metadata="metadata",
        parts=(),
    )


def test_the_likeliest_name_wins_and_the_other_is_ignored() -> None:
    columns = ColumnMap()
    assert columns.plan(["query", "text", "Text"]).text == "text"
    assert columns.ignored_columns == ("query", "Text")


def test_names_that_are_given_come_first() -> None:
    found = plan(["text", "question", "Answer Key"], {"title": "question", "group": "answer key"})
    assert (found.text, found.title, found.group) == ("text", "question", "Answer Key")
    assert plan(["text", "query"], {"text": "query"}).text == "query"
    assert plan(["question"], {"title": "question"}).text is None


def test_columns_of_single_metadata_values_keep_the_case_of_their_names() -> None:
    found = plan(["text", "metadata.Region", "METADATA.region", "metadata.", "metadata.a.b"])
    assert found.parts == (("metadata.Region", "Region"), ("METADATA.region", "region"), ("metadata.a.b", "a.b"))
    assert plan(["text", "metadata.x"], {"group": "metadata.x"}).parts == ()


def test_what_is_ignored_is_told_once_and_not_without_end() -> None:
    columns = ColumnMap()
    assert set(columns.choose(["text", "a", "b", ""], of_every_row=True)) == {"text"}
    columns.plan(["text", "b", "c"])
    assert columns.ignored_columns == ("a", "b", "c")
    for number in range(1000):
        columns.plan(["text", f"key{number}" + "x" * 1000])
    assert len(columns.ignored_columns) == 100
    assert max(map(len, columns.ignored_columns)) <= 100


@pytest.mark.parametrize("of_every_row", [True, False])
def test_a_missing_text_says_what_there_is_and_how_to_name_it(of_every_row: bool) -> None:
    error = refused(["phrase", "intent"], of_every_row=of_every_row)
    assert error.code == UploadCode.MISSING_COLUMN
    for part in ("text or sentence", "'phrase', 'intent'", "?columns=text:question"):
        assert part in error.detail
    assert "only nothing" in refused([]).detail


@pytest.mark.parametrize("header", ["text;group", "frage;thema", "text\tgroup", "text|group"])
def test_a_header_that_is_parted_otherwise_says_how_to_part_it(header: str) -> None:
    """Spreadsheets write semicolons where a comma is in numbers; a name for the whole header would be no remedy."""
    for error in (refused([header]), refused([header], {"text": "frage"})):
        assert error.detail.endswith("separate the columns by commas in a .csv, by tabs in a .tsv"), error.detail
        assert repr(header) in error.detail
    assert "separate" not in refused(["frage", "thema"]).detail


def test_a_name_that_the_file_does_not_have() -> None:
    error = refused(["text", "a"], {"group": "topic"})
    assert error.code == UploadCode.UNKNOWN_COLUMN
    assert "columns=group:topic: there is no column 'topic', only 'text', 'a'" in error.detail
    # Of objects only the text is certain to be in the first.
    ColumnMap({"group": "topic"}).choose(["text", "a"], of_every_row=False)
    assert refused(["text"], {"text": "phrase"}, of_every_row=False).code == UploadCode.UNKNOWN_COLUMN


def test_groups_need_no_text() -> None:
    assert list(ColumnMap().choose(["group", "title"], of_every_row=True)) == ["group", "title"]
    assert refused(["title", "payload"]).code == UploadCode.MISSING_COLUMN


def test_a_column_that_is_there_twice() -> None:
    assert refused(["text", "a", "Text"]).code == UploadCode.DUPLICATE_COLUMN
    assert refused(["text", "metadata.a", "metadata.a"]).code == UploadCode.DUPLICATE_COLUMN
    assert list(ColumnMap().choose(["text", "notes", "notes", "", ""], of_every_row=True)) == ["text"]


@pytest.mark.parametrize(
    ("renames", "code"),
    [
        ({"txt": "question"}, UploadCode.UNKNOWN_COLUMN),
        ({"text": "question", "title": "Question"}, UploadCode.DUPLICATE_COLUMN),
    ],
)
def test_names_that_make_no_sense(renames: dict[str, str], code: UploadCode) -> None:
    with pytest.raises(UploadError) as caught:
        ColumnMap(renames)
    assert caught.value.code == code
