"""What can be set from outside: environment variables SAMESAY_*, and the options of `samesay serve` over them."""

import re
import string
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.data_layout import encoders_folder, jobs_folder, sqlite_file
from app.errors import InsecureBindError
from index.milvus_kinds import MilvusKind
from index.spec import Device

_PORT: Final = 8765
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_Wait = Annotated[float, Field(gt=0, le=3600)]
"""Seconds that something waits for: beyond what a clock can add, its thread would die."""


class Settings(BaseSettings):
    """The settings of one server.

    Attributes:
        data: Folder of the database, the encoders and the snapshots.
        host: Address to listen on; anything but loopback needs a key.
        port: Port to listen on; 0 takes a free one. tcp://..., which Kubernetes sets for a service called samesay, does
            not count.
        log_level: Least level of what is logged: DEBUG, INFO, WARNING or ERROR.
        api_key: A key that allows everything and is stored nowhere; those in the database stand beside it.
        database_url: A PostgreSQL URL; without one, SQLite in `data`. A password in it is percent-encoded; one that is
            left out is libpq's business, by PGPASSWORD or PGPASSFILE as they are.
        max_body_bytes: Largest request body.
        max_bodies_bytes: What the bodies of all running requests may take together; more is refused with 503.
        index_device: Where indexes are searched: cpu, gpu, or gpu-cagra for a graph on the GPU.
        index_server: Address of a Milvus server that large indexes are put on, http://HOST:PORT; by default all are in
            the data folder.
        index_server_token: What it lets us in with: USER:PASSWORD, or an API key.
        index_server_kind: What is built there: flat, ivf_flat, ivf_sq8, hnsw, gpu_ivf_flat or gpu_cagra.
        batch_tokens: Padded tokens the encoder is given at once by the micro-batcher.
        max_queued_sentences: Sentences that may wait for the encoder; more are refused with 503.
        max_queued_writes: Writes that may wait for the database; more are refused with 503.
        poll_s: How often the follower looks for changes that other processes made.
        wait_visible_s: How long a write with wait=visible waits at most.
        drain_s: How long a stopping server lets running requests finish.
        workers: Worker processes that the server starts for imports and exports, beside one for trainings; 0 where all
            workers are apart.
        max_upload_bytes: Largest file to import, as it is sent.
        max_unpacked_bytes: Largest file to import, once it is unpacked.
        keep_releases: Encoders of so many releases of a collection are kept beside the active and the previous one.
        max_unfinished_jobs: Jobs that may wait or run; more are refused with 503.
        rate_limit: Items (sentences, records, other requests) that each key may send a second; none by default.
        rate_burst: Items that a key may send at once after a pause; by default those of two seconds.
        cors_origins: Sites whose pages may ask this server, such as https://faq.example.org,https://x.example.org.
        audit_days: So long entries of the audit log are kept.
        compat_encoder: Name or sha256 of the encoder behind text-embeddings-inference's routes, which name none; by
            default the one that was registered first.
    """

    model_config = SettingsConfigDict(env_prefix="SAMESAY_", env_ignore_empty=True, frozen=True)

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = Field(default=_PORT, ge=0, le=65535)
    api_key: SecretStr | None = None
    database_url: SecretStr | None = None
    log_level: str = "INFO"
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_bodies_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    index_device: Device = Device.CPU
    index_server: str | None = None
    index_server_token: SecretStr | None = None
    index_server_kind: MilvusKind = MilvusKind.IVF_FLAT
    batch_tokens: int = Field(default=4096, ge=64)
    max_queued_sentences: int = Field(default=4096, ge=1)
    max_queued_writes: int = Field(default=1024, ge=1)
    poll_s: _Wait = 0.2
    wait_visible_s: _Wait = 30.0
    drain_s: _Wait = 10.0
    workers: int = Field(default=2, ge=0, le=64)
    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1024)
    max_unpacked_bytes: int = Field(default=16 * 1024**3, ge=1024)
    keep_releases: int = Field(default=5, ge=0, le=1000)
    max_unfinished_jobs: int = Field(default=100, ge=1)
    rate_limit: float | None = Field(default=None, gt=0, le=1e9)  # as of a key
    rate_burst: int | None = Field(default=None, ge=1, le=10**9)
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    audit_days: int = Field(default=365, ge=1, le=36_500)  # a moment before the year 1 is none
    compat_encoder: str | None = Field(default=None, max_length=64)

    @property
    def jobs(self) -> Path:
        """Folder of the jobs' files."""
        return jobs_folder(self.data)

    @property
    def encoders(self) -> Path:
        """Folder of the bundles."""
        return encoders_folder(self.data)

    @property
    def sqlite_file(self) -> Path:
        """The database, where no PostgreSQL is named."""
        return sqlite_file(self.data)

    @field_validator("port", mode="before")
    @classmethod
    def _is_nobodys_wish(cls, value: Any) -> Any:
        return _PORT if isinstance(value, str) and value.startswith("tcp://") else value

    @field_validator("api_key", mode="before")
    @classmethod
    def _as_sent(cls, value: Any) -> Any:
        # a file ends with a newline, and the header that the key is compared with has no white space around it
        return value.strip(string.whitespace) if isinstance(value, str) else value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in _LEVELS:
            raise ValueError(f"is {value!r}: give one of {', '.join(_LEVELS)}")
        return value.upper()

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: give scheme://host or scheme://host:port, in lower case")
        return value

    @field_validator("index_server")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.fullmatch(value):
            raise ValueError(
                f"{_without_user(value)!r} is no address of an index server: give http://HOST:PORT or https://HOST:PORT"
                ", and what it lets us in with as SAMESAY_INDEX_SERVER_TOKEN"
            )
        return value

    @field_validator("index_server_kind", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_searched_in_one_place(self) -> Self:
        if self.index_server is not None and self.index_device is not Device.CPU:
            raise ValueError(
                f"SAMESAY_INDEX_SERVER is {self.index_server} and SAMESAY_INDEX_DEVICE is {self.index_device}: set one "
                "of them; for a GPU of the index server, set SAMESAY_INDEX_SERVER_KIND to a kind that uses it"
            )
        return self

    @model_validator(mode="after")
    def _key_is_one(self) -> Self:
        if self.api_key is None:
            return self
        key = self.api_key.get_secret_value()
        if not (key.isascii() and key.isprintable()):
            raise ValueError(
                "SAMESAY_API_KEY has a character that no header may have, such as one of two lines or an accented "
                "letter, so that nobody could send it: set one of ASCII letters and digits"
            )
        if len(key) < 8:
            raise ValueError("SAMESAY_API_KEY is shorter than 8 characters: set a longer one")
        return self

    @model_validator(mode="after")
    def _largest_body_has_room(self) -> Self:
        if self.max_body_bytes > self.max_bodies_bytes:
            raise ValueError(
                f"SAMESAY_MAX_BODY_BYTES is {self.max_body_bytes} and SAMESAY_MAX_BODIES_BYTES is "
                f"{self.max_bodies_bytes}, for all bodies together: make the second at least as large as the first"
            )
        return self

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return _is_loopback(self.host)

    def refuse_open_bind(self, *, has_admin_key: bool) -> None:
        """Refuse to listen where others can reach us without a key.

        Args:
            has_admin_key: Whether the database has a key of scope admin that can be used.

        Raises:
            InsecureBindError: `host` is not loopback and there is no key.
        """
        if self.api_key is None and not has_admin_key and not self.is_on_loopback:
            raise InsecureBindError(
                f"host {self.host} can be reached from other machines and there is no key: set SAMESAY_API_KEY, "
                "or make one with `samesay keys create admin --scope admin`, or listen on 127.0.0.1"
            )


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:\d{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:\d{1,5})?")


_ADDRESS: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d{1,5})?", re.IGNORECASE)


def _without_user(address: str) -> str:
    """An address as a complaint may show it."""
    return re.sub(r"//[^/@]*@", "//...@", address)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
