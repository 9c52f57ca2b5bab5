"""Names that come from outside never become paths that lead out of the data folder."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.backup.manifest import EncoderEntry
from tests.conftest import Put
from tests.fakes.running import Running

WAYS_OUT = ["../lock", "..", "../../etc/passwd", "/etc/passwd", "a/b", ".hidden", "a\\..\\b\n", "", "\0"]


@pytest.mark.parametrize("name", WAYS_OUT)
def test_a_backup_names_no_file_outside_of_its_bundle(name: str) -> None:
    """A manifest may be forged: its checksum finds damage only."""
    with pytest.raises(ValidationError):
        EncoderEntry(sha="0" * 64, name="faq", files=[name])
    with pytest.raises(ValidationError):
        EncoderEntry(sha=name, name="faq", files=["encoder.onnx"])
    assert EncoderEntry(sha="0" * 64, name="faq", files=["encoder.onnx"]).files == ["encoder.onnx"]


@pytest.mark.parametrize("name", ["..%2Flock", "%2E%2E%2Flock", "..%5Clock", "%2Fetc%2Fpasswd", "lock%00"])
@pytest.mark.parametrize(
    "path", ["/v1/jobs/{}/file", "/v1/jobs/{}/results", "/v1/jobs/{}", "/v1/encoders/{}", "/v1/collections/{}"]
)
def test_a_path_names_no_file(shared_service: Running, path: str, name: str) -> None:
    """The lock is there, so that a way to it would be found."""
    assert Path(shared_service.container.settings.data / "lock").exists()
    answer = shared_service.client.get(path.format(name))
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_a_slash_in_a_name_leads_nowhere(shared_service: Running, collection: str, put: Put, slash: str) -> None:
    """DELETE of the collection with this name would delete the record."""
    put(collection, "r1", "my money")
    client, name = shared_service.client, f"{collection}{slash}records{slash}r1"
    for method, path in (
        ("GET", f"/v1/collections/{name}"),
        ("DELETE", f"/v1/collections/{name}"),
        ("PUT", f"/v1/collections/{collection}/records{slash}r1"),
        ("POST", f"/v1/collections{slash}{collection}:search"),
        ("DELETE", f"/v1/collections/{collection}/records/a{slash}b"),
    ):
        answer = client.request(method, path, json={"text": "other", "query": "my money"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "no name or id has a slash" in answer.json()["detail"]
    assert client.get(f"/v1/collections/{collection}/records/r1").json()["text"] == "my money"
    model = client.get(f"/v1/models/maker{slash}model")
    assert (model.status_code, model.json()["error"]["code"]) == (404, "not_found")


def test_an_encoder_is_named_never_pointed_at(shared_service: Running, tiny_bundle: Path) -> None:
    for encoder in (str(tiny_bundle), f"file://{tiny_bundle}", "../tiny", "./tiny"):
        body = {"name": "pointed", "encoder": encoder}
        assert shared_service.client.post("/v1/collections", json=body).status_code == 422
