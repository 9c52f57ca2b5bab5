"""What a person gave wrongly is one line that names it and says what to do, never a traceback."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.errors import PortBusyError
from app.server import listen
from tests.fakes.scripted import HANG_UP, Reply, answer, scripted

PAGE = Reply(200, b"<!doctype html><title>an app</title>", {"Content-Type": "text/html"})
DONE = {"rows": 1, "rejected": 1, "ignored_columns": [], "dry_run": False, "group": 0}
JOB = {"id": "j", "state": "succeeded", "error": None, "result": DONE}


def refused(*arguments: str, code: int = 1) -> str:
    """What a command says that has to end with this code."""
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == code
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--days", "10000000", "--days 10000000: no date is so many days from now"),
        ("--days", "inf", "--days inf: no date is so many days from now"),
        ("--rate-limit", "nan", "/rate_limit: input should be a finite number"),
        ("--rate-limit", "inf", "/rate_limit: input should be a finite number"),
    ],
)
def test_a_key_without_the_limit_that_was_asked_for_is_not_made(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    command = ["keys", "create", "bot", "--scope", "search", option, value, "--data", str(tmp_path)]
    assert said in refused(*command)
    listed = CliRunner().invoke(app, ["keys", "list", "--data", str(tmp_path)])
    assert listed.exit_code == 0 and "bot" not in listed.stdout


@pytest.mark.parametrize("command", ["keys list", "keys revoke k", "keys rotate k", "encoders list"])
def test_a_folder_without_a_database_gets_none_by_being_looked_at(tmp_path: Path, command: str) -> None:
    said = refused(*command.split(), "--data", str(tmp_path / "data"))
    assert said.endswith("holds no samesay.db: give the --data folder of a server, or set SAMESAY_DATABASE_URL")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_whoever_has_a_whole_key_at_hand_need_not_look_for_its_id(tmp_path: Path, command: str) -> None:
    data = ["--data", str(tmp_path / "data")]
    made = CliRunner().invoke(app, ["keys", "create", "bot", "--scope", "search", *data]).stdout.strip()
    _, key_id, secret = made.split("_")
    for given in (made, f"{key_id}_{secret}", key_id):
        done = CliRunner().invoke(app, ["keys", command, given, *data])
        assert (done.exit_code, secret in done.output) == (0, False), done.output
    said = refused("keys", command, made.replace(key_id, "0" * 16), *data)
    assert said.endswith("there is no key '0000000000000000': GET /v1/api-keys lists them")


@pytest.mark.parametrize("command", ["releases rollback faq 2", "retrain faq", "feedback reject faq 1"])
def test_what_may_be_done_already_is_not_to_be_done_again_unseen(command: str) -> None:
    with scripted(HANG_UP) as server:
        said = refused(*command.split(), "--url", server.url)
    assert "it may be done or not; look, then run it again if it is not" in said


def test_a_folder_that_gets_a_database_by_a_key_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    def told(name: str) -> bool:
        command = ["keys", "create", name, "--scope", "search", "--data", str(folder)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert len(done.stdout.split()) == 1, "the key alone"
        return f"{folder} held no database: a new one was made there" in " ".join(done.stderr.split())

    assert [told("first"), told("second")] == [True, False]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("DATABSE_URL", "DATABASE_URL"), ("DB_URL", "DATABASE_URL"), ("APIKEY", "API_KEY"), ("LOGLEVEL", "LOG_LEVEL")],
)
def test_a_setting_that_is_misspelt_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(f"SAMESAY_{name}", "x")
    said = refused("keys", "list", "--data", str(tmp_path))
    assert f"warning: SAMESAY_{name} is no setting and does nothing: did you mean SAMESAY_{meant}? error: " in said


def test_other_variables_of_our_prefix_are_let_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that Kubernetes sets, those of our clients, benchmarks and tests, and the settings themselves."""
    names = "SERVICE_HOST SERVICE_PORT SERVICE_PORT_HTTP PORT_8765_TCP PORT_8765_TCP_ADDR URL BENCH_DATA CRASH_SEED"
    for name in names.split():
        monkeypatch.setenv(f"SAMESAY_{name}", "x")
    monkeypatch.setenv("SAMESAY_DRAIN_S", "5")
    assert "warning" not in refused("keys", "list", "--data", str(tmp_path))


@pytest.mark.parametrize("key", ["short", " \n"])
def test_a_rule_of_several_settings_is_not_ascribed_to_one_that_is_none(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESAY_API_KEY", key)
    said = refused("keys", "list", "--data", str(tmp_path))
    assert said == "error: SAMESAY_API_KEY is shorter than 8 characters: set a longer one"


@pytest.mark.parametrize("key", ["first line\nsecond line", "pässwörd123", "bell\x07bell"])
def test_a_key_that_nobody_could_send_is_refused_and_not_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESAY_API_KEY", key)
    said = refused("keys", "list", "--data", str(tmp_path))
    assert said.startswith("error: SAMESAY_API_KEY has a character that no header may have")
    assert key not in said and key.split()[0] not in said


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
@pytest.mark.parametrize("name", ["POLL_S", "WAIT_VISIBLE_S", "DRAIN_S", "RATE_LIMIT", "RATE_BURST", "AUDIT_DAYS"])
def test_a_setting_that_no_clock_and_no_date_can_hold_is_refused(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SAMESAY_{name}", value)
    assert refused("keys", "list", "--data", str(tmp_path)).startswith(f"error: SAMESAY_{name}: ")


def test_so_are_entries_of_the_audit_log_that_are_kept_since_before_the_first_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each change was made, not audited, and answered 500."""
    monkeypatch.setenv("SAMESAY_AUDIT_DAYS", "999999")
    said = refused("keys", "list", "--data", str(tmp_path))
    assert said == "error: SAMESAY_AUDIT_DAYS: Input should be less than or equal to 36500"


def test_a_host_that_is_not_ours_is_not_mended_by_another_port() -> None:
    with pytest.raises(PortBusyError, match=r"203\.0\.113\.1 port 0: .*; give an address of this machine as --host"):
        listen("203.0.113.1", 0)
    with listen("127.0.0.1", 0) as taken, pytest.raises(PortBusyError, match="in use; give another --port"):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("reply", [PAGE, Reply(200, b"", {"Content-Length": "0"})])
@pytest.mark.parametrize("command", ["collections list", "jobs follow j", "search faq x", "releases report faq 1"])
def test_an_address_where_something_else_answers(command: str, reply: Reply) -> None:
    with scripted(reply) as server:
        said = refused(*command.split(), "--url", server.url)
    assert said == f"error: {server.url}: the server answered 200, and not as samesay does: is --url right?"


def test_results_of_rows_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "faq.tsv"
    file.write_text("text\tgroup\na\tg\n")
    progress = {
        "stage": "storing",
        "done": 1,
        "total": 1,
        "unit": "rows",
        "per_second": None,
        "eta_s": None,
        "note": {},
    }
    with scripted(answer({}), answer({"id": "j"}), answer({**JOB, "progress": progress}), PAGE) as server:
        assert "not as samesay does" in refused("import", "faq", str(file), "--url", server.url)


def test_a_file_that_cannot_be_written_where_it_was_wanted(tmp_path: Path) -> None:
    missing, folder, file = tmp_path / "missing" / "x.html", tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    for wanted, reason in (
        (missing, "No such file or directory"),
        (folder, "Is a directory"),
        (file / "x.html", "Not a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        said = f"error: {wanted}: {reason}; give the name of a file, in a folder that is there"
        with scripted(PAGE) as server:
            assert refused("releases", "report", "faq", "1", "--html", str(wanted), "--url", server.url) == said
    assert "No such file" in refused("openapi", "--out", str(missing))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "[[0, 1e400]]"])
def test_numbers_that_no_json_has_are_not_sent(value: str) -> None:
    with scripted() as server:
        for option, name in (("--set", "learning_rate"), ("--gate", "max_drop")):
            said = refused("retrain", "faq", option, f"{name}={value}", "--url", server.url, code=2)
            assert f"Invalid value for {option}: '{name}={value}' has no finite number: give one" in said
    assert not server.seen


def test_a_key_out_of_a_file_is_sent_without_its_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESAY_API_KEY", "sms_id_secret\n")
    with scripted(answer({"items": [], "next_cursor": None})) as server:
        assert CliRunner().invoke(app, ["collections", "list", "--url", server.url]).exit_code == 0
    assert server.seen[0].headers["authorization"] == "Bearer sms_id_secret"


@pytest.mark.parametrize("key", ["clé", "two\nlines"])
def test_a_key_that_can_be_none_is_not_sent(key: str) -> None:
    with scripted() as server:
        assert "--api-key has a character" in refused("jobs", "list", "--api-key", key, "--url", server.url)
    assert not server.seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "faq", "\udccd\udccb"], r"has bytes that are no UTF-8: give it as UTF-8"),
        (["search", "\udccd", "x"], r"'\udccd' is not the name or id of anything here"),
        (["collections", "list", "--url", "http://localhost:abc"], "http://localhost:abc is no URL of a server"),
        (["collections", "change", "faq", "--keep-queries-share", "nan"], "Out of range float values"),
    ],
)
def test_what_cannot_be_sent_is_told(arguments: list[str], said: str) -> None:
    with scripted() as server:
        assert said in refused(*arguments, *([] if "--url" in arguments else ["--url", server.url]))
        assert not server.seen


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://127.0.0.1:9"])
def test_no_proxy_is_asked_for_a_server_of_this_machine(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    with scripted(answer({"items": [], "next_cursor": None})) as server:
        done = CliRunner().invoke(app, ["collections", "list", "--url", server.url])
    assert done.exit_code == 0, done.output


def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    said = refused("collections", "list", "--url", "http://example.org")
    assert said.startswith("error: nothing can be sent to http://example.org: ")
