"""The URL of a PostgreSQL database."""

import pytest

from app.db.postgres import PostgresDatabase
from app.errors import StartupError


def test_an_at_sign_in_the_password_of_a_database_is_no_part_of_the_host() -> None:
    with pytest.raises(StartupError, match="as %40, or leave the password out and set PGPASSWORD") as refused:
        PostgresDatabase("postgresql://samesay:p@ss@database/samesay")
    assert "ss@" not in str(refused.value), "nothing of the password is shown"
    escaped = PostgresDatabase("postgresql://samesay:p%40ss@database/samesay")
    assert (escaped.engine.url.host, escaped.engine.url.password) == ("database", "p@ss")
    escaped.close()
