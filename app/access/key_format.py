"""What a key looks like: sms_<id>_<secret>. The id may be known, the secret is shown once and kept as its SHA-256."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

PREFIX: Final = "sms"
ID_DIGITS: Final = 16
_SECRET_BYTES: Final = 32
_ID_PLACE: Final = slice(len(PREFIX) + 1, len(PREFIX) + 1 + ID_DIGITS)
_SECRET_PLACE: Final = _ID_PLACE.stop + 1


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret of 256 random bits, and what of it is kept."""

    secret: str
    digest: bytes


def new_id() -> str:
    """A random id of a key."""
    return secrets.token_hex(ID_DIGITS // 2)


def new_secret() -> NewSecret:
    """A random secret. It is as good as any password hash can make one, so that a plain SHA-256 of it will do."""
    secret = secrets.token_hex(_SECRET_BYTES)
    return NewSecret(secret, sha256(secret.encode()).digest())


def format_key(key_id: str, secret: str) -> str:
    """The key as clients send it."""
    return f"{PREFIX}_{key_id}_{secret}"


def id_in(key: bytes) -> bytes:
    """The id in what a client sent as a key; if it is no key, then whatever stands in that place."""
    return key[_ID_PLACE]


def digest_in(key: bytes) -> bytes:
    """The SHA-256 of the secret in what a client sent as a key, 32 bytes."""
    return sha256(key[_SECRET_PLACE:]).digest()
