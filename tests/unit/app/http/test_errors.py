"""What becomes of an error that is not the caller's."""

import json

import pytest
from structlog.testing import capture_logs

from app.http.errors import REQUEST_ID, problem_of
from model.contract.errors import BundleError, SamesayError


@pytest.mark.parametrize(("error", "event"), [(BundleError, "encoder_unusable"), (SamesayError, "request_failed")])
def test_a_fault_of_ours_is_logged_under_the_id_that_the_caller_is_told(error: type[Exception], event: str) -> None:
    with capture_logs() as logs:
        response = problem_of({"path": "/v1/similarity", REQUEST_ID: "r-17"}, error("no such graph"))
    told = json.loads(response.body)
    assert (response.status_code, told["request_id"], told["detail"]) == (503, "r-17", "no such graph")
    assert logs == [{"event": event, "log_level": "error", "request_id": "r-17", "error": "no such graph"}]
