"""What browsers are told and refused: headers, pages of other sites, and names that are pointed at this machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests.conftest import add_encoder
from tests.fakes.keys import ADMIN, bearer
from tests.fakes.problems import assert_problem
from tests.fakes.running import Running, make_settings, running

SITE = "https://faq.example.org"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    """A service that wants a key, and lets the pages of one site ask."""
    settings = make_settings(
        tmp_path_factory.mktemp("guarded") / "data", api_key=ADMIN, cors_origins=f"{SITE}, http://b.test:81"
    )
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


@pytest.mark.parametrize("path", ["/v1/info", "/nowhere", "/livez", "/docs", "/metrics", "/openapi.json"])
@pytest.mark.parametrize("headers", [{}, bearer(ADMIN)])
def test_every_answer_keeps_browsers_from_harm(guarded: Running, path: str, headers: dict[str, str]) -> None:
    answer = guarded.client.get(path, headers=headers)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get_list("content-security-policy") == [answer.headers["content-security-policy"]]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert ("script-src" in answer.headers["content-security-policy"]) == (path == "/docs")


def test_the_docs_page_may_load_what_it_loads_and_nothing_else(guarded: Running) -> None:
    page = guarded.client.get("/docs")
    rules = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    loaded = {
        "script-src": re.findall(r'<script src="([^"]+)"', page.text),
        "style-src": re.findall(r'<link [^>]*rel="stylesheet"[^>]*href="([^"]+)"', page.text),
        "img-src": re.findall(r'<link rel="shortcut icon" href="([^"]+)"', page.text),
    }
    for rule, urls in loaded.items():
        assert len(urls) == 1, page.text
        assert urls[0].startswith(tuple(part + "/" for part in rules[rule].split() if part.startswith("https:"))), rule
    assert "<script>" in page.text, "a script of its own, which the rule names too"
    assert "'unsafe-inline'" in rules["script-src"]
    assert rules["connect-src"] == "'self'"


def preflight(service: Running, origin: str, method: str = "PUT") -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    headers["Access-Control-Request-Headers"] = "authorization,content-type,if-match,idempotency-key"
    return service.client.options("/v1/collections/faq/records/r1", headers=headers)


def test_only_named_sites_may_ask(guarded: Running) -> None:
    for origin in (SITE, "http://b.test:81"):
        allowed = preflight(guarded, origin)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
        answer = guarded.client.get("/v1/info", headers={"Origin": origin, **bearer(ADMIN)})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        refused = guarded.client.get("/v1/info", headers={"Origin": origin})
        assert_problem(refused, 401, "unauthorised")
        assert refused.headers["access-control-allow-origin"] == origin, "the page can read why"
    for origin in ("https://evil.example", "null", SITE + ".evil.example", "http://faq.example.org"):
        assert preflight(guarded, origin).status_code == 400
        answer = guarded.client.get("/v1/info", headers={"Origin": origin, **bearer(ADMIN)})
        assert "access-control-allow-origin" not in answer.headers


def test_without_the_setting_no_site_may_ask(shared_service: Running) -> None:
    answer = preflight(shared_service, SITE)
    assert answer.status_code in (403, 405)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("value", ["*", "faq.example.org", "https://faq.example.org/", "https://a.b/path", "null"])
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="is no origin: give scheme://host"):
        Settings(cors_origins=value)


@pytest.mark.parametrize(
    ("headers", "is_answered"),
    [
        ({}, True),
        ({"Host": "localhost:8765"}, True),
        ({"Host": "127.9.9.9"}, True),
        ({"Host": "[::1]:8765"}, True),
        ({"Host": "samesay.localhost"}, True),
        ({"Host": "localhost:1", "Origin": "http://localhost:1", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Host": "evil.example:8765"}, False),  # its owner points it at 127.0.0.1
        ({"Host": "localhost.evil.example"}, False),
        ({"Host": "10.0.0.1"}, False),
        ({"Host": ""}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost:3000"}, False),  # another program's page
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_server_without_keys_does_not_obey_the_pages_that_its_user_looks_at(
    shared_service: Running, collection: str, headers: dict[str, str], is_answered: bool
) -> None:
    """A page can send text/plain to any address, without asking before; what counts is that nothing is done."""
    place = f"/v1/collections/{collection}/records/r1"
    body = {"content": b'{"text": "sent by a page"}', "headers": {"Content-Type": "text/plain", **headers}}
    answer = shared_service.client.put(place, **body)
    if is_answered:
        assert answer.status_code == 201, answer.text
    else:
        assert "SAMESAY_API_KEY" in assert_problem(answer, 403, "forbidden")["detail"]
        assert shared_service.client.get(place).status_code == 404
    assert shared_service.client.get("/livez", headers=headers).status_code == 200


def test_the_sites_of_the_setting_may_ask_a_server_without_keys(tmp_path: Path, tiny_bundle: Path) -> None:
    settings = make_settings(tmp_path / "data", cors_origins=SITE)
    with running(settings) as service:
        for origin, status in ((SITE, 200), ("https://evil.example", 403)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            assert service.client.get("/v1/info", headers=headers).status_code == status


def test_with_a_key_the_name_of_the_server_is_of_no_account(guarded: Running) -> None:
    headers = {"Host": "samesay.example.org", "Origin": "https://other.example", **bearer(ADMIN)}
    assert guarded.client.get("/v1/info", headers=headers).status_code == 200
