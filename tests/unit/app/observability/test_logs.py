"""What the service writes to stderr."""

import json
import subprocess
import sys

_PROGRAM = """
import logging, structlog
from app.observability.logs import configure_logging
configure_logging("INFO")
structlog.get_logger().info("server_ready", port=1)
logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
logging.getLogger("uvicorn.error").info("Started")
try:
    {}["missing"]
except KeyError:
    logging.getLogger("library").exception("It broke")
"""


def test_every_line_is_an_event_also_those_of_libraries() -> None:
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)

    ours, theirs, broken = (json.loads(line) for line in run.stderr.splitlines())
    assert (ours["event"], ours["level"], ours["port"]) == ("server_ready", "info", 1)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("Invalid request", "warning", "uvicorn.error")
    assert (broken["event"], broken["level"], broken["logger"]) == ("It broke", "error", "library")
    assert "KeyError: 'missing'" in broken["exception"]
    assert "timestamp" in ours and "timestamp" in theirs
    assert not run.stdout
