"""The OpenAPI document is the committed one, complete, and true."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import UnsupportedSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import bare_app
from tests.conftest import add_encoder, make_collection
from tests.fakes.running import Running, make_settings, running

KEY = "the key of the settings"
HEADERS = {"Authorization": f"Bearer {KEY}"}
COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"
DOCUMENT = bare_app().openapi()
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]


_THOROUGHLY = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_committed_document_is_up_to_date() -> None:
    assert json.loads(COMMITTED.read_text()) == json.loads(json.dumps(DOCUMENT)), (
        "run: samesay openapi --out docs/openapi.json"
    )


def test_every_operation_has_an_id_and_examples() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids) == 68
    for method, path, operation in OPERATIONS:
        body = operation.get("requestBody")
        is_order = path.endswith((":compact", ":rebuild"))
        assert (body is not None) == (method in ("post", "put", "patch") and not is_order), path
        if body is not None:
            assert any("examples" in content for content in body["content"].values()), path
        speaks_another_api = operation["operationId"].startswith(("openai_", "tei_"))
        for status, response in operation["responses"].items():
            if int(status) >= 400 and speaks_another_api:
                assert response["content"].keys() == {"application/json"}
            elif int(status) >= 400:
                assert response["content"]["application/problem+json"]["example"]["status"] == int(status)


def test_every_reference_leads_somewhere() -> None:
    names = DOCUMENT["components"]["schemas"].keys()
    for part in json.dumps(DOCUMENT).split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in names


def test_conditional_requests_can_be_made_by_who_reads_the_document() -> None:
    """Whatever can be answered 412 says by which headers, and what may create says so too."""
    for _, path, operation in OPERATIONS:
        headers = {one["name"] for one in operation.get("parameters", []) if one["name"].startswith("If-")}
        answers = operation["responses"].keys()
        wanted = {"If-Match"} if "412" in answers else set()
        assert headers == (wanted | {"If-None-Match"} if wanted and "201" in answers else wanted), path


def test_no_refusal_is_described_that_is_never_given() -> None:
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]
    for _, path, operation in OPERATIONS:
        if operation["operationId"].startswith("openai_"):
            assert "422" not in operation["responses"], path


def test_only_bodies_that_may_be_left_out_are_optional(shared_service: Running) -> None:
    optional = set()
    for method, path, operation in OPERATIONS:
        if "application/json" not in operation.get("requestBody", {}).get("content", {}):
            continue
        answer = shared_service.client.request(method, path.format_map(_Nowhere()))
        is_refused = answer.status_code in (400, 415, 422)
        assert operation["requestBody"].get("required", False) == is_refused, (path, answer.text)
        if not is_refused:
            assert answer.status_code == 404, answer.text
            optional.add(operation["operationId"])
    assert optional == {"promote_release", "roll_back_release", "shadow_release", "start_training"}


class _Nowhere(dict[str, str]):
    """Names of what is not there, fit for a path."""

    def __missing__(self, name: str) -> str:
        return "1" if name == "number" else "nowhere"


@pytest.fixture
def guarded(tmp_path: Path, tiny_bundle: Path) -> Iterator[Running]:
    """A service that wants a key: one without would want one as soon as a probe has made one."""
    options = make_settings(tmp_path / "data", api_key=KEY)
    add_encoder(options, tiny_bundle)
    with running(options, headers=HEADERS) as started:
        yield started


@strategies.composite
def drawable(draw: strategies.DrawFn, cases: strategies.SearchStrategy[schemathesis.Case]) -> schemathesis.Case:
    """The cases that schemathesis can make: seldom it draws the negation of a schema that it cannot negate."""
    try:
        return draw(cases)
    except UnsupportedSchema:
        reject()


@pytest.mark.filterwarnings("ignore")
def test_what_is_served_is_what_is_documented(guarded: Running) -> None:
    """No 500, no status, content type or schema that is not in the document, whatever is sent."""
    collection = make_collection(guarded)
    client, place = guarded.client, f"/v1/collections/{collection}"
    client.put(f"{place}/records/r1?wait=visible", json={"text": "a text", "group": "g1"})
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.base_url = guarded.url
    checks = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
    seen: set[int] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.method.upper() == "DELETE" and operation.path == "/v1/collections/{collection}":
            continue  # the collection is needed to the end
        for mode in GenerationMode:

            @_THOROUGHLY
            @given(case=drawable(operation.as_strategy(generation_mode=mode)))
            def probe(case: schemathesis.Case) -> None:
                # half of the time a collection that is there, so that more than a 404 is met
                if case.path_parameters and "collection" in case.path_parameters and len(str(case.body)) % 2:
                    case.path_parameters["collection"] = collection
                answer = case.call(headers=HEADERS)
                seen.add(answer.status_code)
                case.validate_response(answer, checks=checks)

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong about a route without parameters
                probe()
    assert {200, 201, 404, 422} <= seen
    assert 401 not in seen
