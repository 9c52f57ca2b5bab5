"""The log of refusals: all are counted, a few are logged, and how many were not is said."""

from collections import Counter
from typing import Any

from structlog.testing import capture_logs

from app.access.refusals import MOST_LINES, REFUSAL, Refusal, RefusalLog
from app.http.errors import REQUEST_ID


def test_a_flood_is_counted_and_hardly_logged() -> None:
    counted: Counter[str] = Counter()
    now = [10.0]
    log = RefusalLog(lambda reason: counted.update([reason]), lambda: now[0])

    def refuse(n: int) -> list[Any]:
        with capture_logs() as lines:
            for _ in range(n):
                log.tell(
                    {
                        REFUSAL: Refusal.WRONG_KEY,
                        REQUEST_ID: "r",
                        "method": "GET" * 100,
                        "path": "/v1/x",
                        "headers": [(b"authorization", b"Bearer hush")],
                        "client": ("10.0.0.9", 1),
                    }
                )
        return lines

    lines = refuse(100)
    assert len(lines) == MOST_LINES
    assert "hush" not in str(lines)
    assert (lines[0]["address"], lines[0]["reason"], len(lines[0]["method"])) == ("10.0.0.9", "wrong_key", 16)
    now[0] += 1
    assert [line["unlogged"] for line in refuse(2)] == [100 - MOST_LINES, 0]
    assert counted == {"wrong_key": 102}
