"""Names that an import refuses are told before an encoder learns them; the service itself says which these are."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from app.schemas import Key
from model.config import Config
from model.data.training_data import Files, load_training_data

STORED = TypeAdapter(Key)


def findings(tmp_path: Path, *names: str, column: str = "group") -> str:
    """What the trainer says of a file with these groups or labels."""
    rows = [
        {column: name if column == "group" else [name], "text": f"{word} {number}"}
        for number, name in enumerate(names)
        for word in ("ask", "tell", "show")
    ]
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return "\n".join(load_training_data(Files(path), Config(), seed=0).findings)


@pytest.mark.parametrize("name", ["退款/退货", "a\tb", "..", "x" * 257])
@pytest.mark.parametrize("column", ["group", "labels"])
def test_names_that_no_server_stores_are_told(tmp_path: Path, name: str, column: str) -> None:
    with pytest.raises(ValidationError):
        STORED.validate_python(name)
    told = findings(tmp_path, "fits", name, "fits too", column=column)
    assert f"names of {column.removesuffix('s')}s that no server stores: 1, such as {repr(name[:40])[:-1]}" in told
    assert ", or an import leaves its rows out" in told


@pytest.mark.parametrize("name", ["退款 退货", "a.b", "x" * 256, "a?b#c%2F"])
def test_other_names_are_not(tmp_path: Path, name: str) -> None:
    assert STORED.validate_python(name) == name
    assert "no server stores" not in findings(tmp_path, "fits", name)
