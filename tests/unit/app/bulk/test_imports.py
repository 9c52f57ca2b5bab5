"""What the reading of uploads loads, and when: the server and the command line import parts of it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("app.bulk.reading.opening", {"pyarrow", "python_calamine", "zstandard", "fastapi", "sqlalchemy"}),
        ("app.bulk.reading.parsing", {"pyarrow", "python_calamine", "zstandard"}),
        ("app.bulk.forms", {"pyarrow", "fastapi", "sqlalchemy", "pydantic", "numpy"}),
        ("app.bulk.reading.content_ids", {"fastapi", "sqlalchemy", "pydantic", "numpy"}),
    ],
)
def test_what_is_heavy_is_loaded_by_those_who_need_it(module: str, heavy: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert module in loaded
    assert not heavy & set(loaded)
