"""What a key looks like: sms_<id>_<secret>. The id may be known, the secret is shown once and kept as its SHA-256."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "sms"
ID_DIGITS: Final = 16
_SECRET_BYTES: Final = 32


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
    return NewSecret(secret, digest_of(secret.encode()))


def digest_of(secret: bytes) -> bytes:
    """What is kept of a secret, 32 bytes."""
    return hashlib.sha256(secret).digest()


def format_key(key_id: str, secret: str) -> str:
    """The key as clients send it."""
    return f"{PREFIX}_{key_id}_{secret}"


def split_key(given: bytes) -> tuple[bytes, bytes] | None:
    """The id and the secret of what a client sent; None where it is no key of this form."""
    parts = given.split(b"_", 2)
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == PREFIX.encode() else None
