"""Keys for tests: made over HTTP, by the key of the settings."""

from dataclasses import dataclass
from typing import Any

from app.access.scopes import KeyScope
from tests.fakes.running import Running

ADMIN = "the key of the settings"
"""For `api_key` of the settings."""


@dataclass(frozen=True, slots=True)
class Made:
    """A key of the database."""

    id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What sends it."""
        return bearer(self.key)


def bearer(key: str) -> dict[str, str]:
    """The header that sends a key."""
    return {"Authorization": f"Bearer {key}"}


def make_key(service: Running, name: str, *scopes: KeyScope, **options: Any) -> Made:
    """Make one."""
    body = {"name": name, "scopes": list(scopes), **options}
    answer = service.client.post("/v1/api-keys", json=body, headers=bearer(ADMIN))
    assert answer.status_code == 201, answer.text
    return Made(answer.json()["id"], answer.json()["key"])
