"""Settings: the door, keys, sizes, and what others set by accident."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import InsecureBindError
from app.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_an_open_host_needs_a_key(host: str) -> None:
    with pytest.raises(InsecureBindError, match="SAMESAY_API_KEY"):
        Settings(host=host).refuse_open_bind(has_admin_key=False)
    Settings(host=host, api_key="long enough").refuse_open_bind(has_admin_key=False)
    Settings(host=host).refuse_open_bind(has_admin_key=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str, tmp_path: Path) -> None:
    Settings(host=host, data=tmp_path).refuse_open_bind(has_admin_key=False)


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{} \r\n"])
def test_white_space_around_the_key_is_not_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESAY_API_KEY", around.format("long enough"))
    key = Settings().api_key
    assert key is not None and key.get_secret_value() == "long enough"
    monkeypatch.setenv("SAMESAY_API_KEY", around.format("       "))
    with pytest.raises(ValidationError, match="shorter than 8"):
        Settings()


def test_the_largest_body_has_room_among_all() -> None:
    assert Settings(max_body_bytes=5000, max_bodies_bytes=5000).max_bodies_bytes == 5000
    with pytest.raises(ValidationError, match="SAMESAY_MAX_BODIES_BYTES is 4999"):
        Settings(max_body_bytes=5000, max_bodies_bytes=4999)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESAY_PORT", "tcp://10.96.7.1:80")
    assert Settings().port == 8765
    monkeypatch.setenv("SAMESAY_PORT", "9000")
    assert Settings().port == 9000


def test_a_level_of_the_log_may_be_written_small() -> None:
    assert Settings(log_level="warning").log_level == "WARNING"
    with pytest.raises(ValidationError, match="is 'verbose': give one of DEBUG, INFO, WARNING, ERROR"):
        Settings(log_level="verbose")
