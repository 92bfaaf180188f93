"""Settings: where a value comes from, what is refused, and that the reference page is current."""

import dataclasses
from decimal import Decimal
from pathlib import Path

import pytest

from tallystick.kernel.errors import TallystickError
from tallystick.settings import Settings, describe, load, render_reference, variable

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"


def _environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"TALLY_HOME": str(tmp_path), **more}


def test_an_empty_environment_gives_the_defaults(tmp_path: Path) -> None:
    loaded = load(_environ(tmp_path))
    assert loaded.settings.port == 8787
    assert loaded.settings.host == "127.0.0.1"
    assert loaded.settings.database_url is None
    assert loaded.settings.free_credits == 75
    assert loaded.origins["port"] == "default"
    assert loaded.warnings == ()


def test_an_option_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "tally.toml").write_text('port = 1\nhost = "0.0.0.0"\nmarkup = 1.10\nworker = false\n')
    loaded = load(_environ(tmp_path, TALLY_PORT="2", TALLY_LANES="3"), {"lanes": 4, "host": None})
    assert (loaded.settings.port, loaded.settings.lanes, loaded.settings.host) == (2, 4, "0.0.0.0")
    assert loaded.settings.markup == Decimal("1.10")
    assert loaded.settings.worker is False
    assert [loaded.origins[name] for name in ("port", "lanes", "host", "log_level")] == [
        "environment",
        "option",
        "file",
        "default",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TALLY_PORT", "eighty"),
        ("TALLY_PORT", "65536"),
        ("TALLY_PORT", "-1"),
        ("TALLY_WORKER", "perhaps"),
        ("TALLY_MARKUP", "NaN"),
        ("TALLY_MARKUP", "-0.1"),
        ("TALLY_FREE_CREDITS", "0.0000000001"),
        ("TALLY_FREE_CREDITS", "1e30"),
        ("TALLY_NEGATIVE_LIMIT", "0"),
        ("TALLY_NEGATIVE_LIMIT", "-0.0000000001"),
        ("TALLY_DEPLOY_THRESHOLD", "-1"),
        ("TALLY_DEPLOY_THRESHOLD", "0.0000000001"),
        ("TALLY_FINE_TUNE_MINIMUM", "Infinity"),
        ("TALLY_LOG_LEVEL", "loud"),
        ("TALLY_PUBLIC_URL", "example.org"),
        ("TALLY_CONFIG", "/nowhere/at/all.toml"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_setting(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(TallystickError) as caught:
        load(_environ(tmp_path, **{name: value}))
    assert caught.value.code == "invalidSetting"
    assert caught.value.details == {"setting": name, "value": value}
    assert name in caught.value.message


@pytest.mark.parametrize("content", ["no_such_key = 1", "port = ", "[server]\nport = 1"])
def test_a_file_that_is_not_understood_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tally.toml").write_text(content)
    with pytest.raises(TallystickError) as caught:
        load(_environ(tmp_path))
    assert caught.value.code == "invalidSetting"


def test_an_unknown_variable_is_only_a_warning(tmp_path: Path) -> None:
    loaded = load(_environ(tmp_path, TALLY_PROT="1", TALLY_TOKEN="mine", TALLY_TEST_DATABASE_URL="x", OTHER="y"))
    assert loaded.warnings == ("TALLY_PROT is not a setting of this version; `tally settings` lists them.",)


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    assert load(_environ(tmp_path, TALLY_DATABASE_URL="", TALLY_PORT="")).settings.port == 8787


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"TALLY_HOME": "data"}).settings.home == tmp_path / "data"


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    loaded = load(_environ(tmp_path, TALLY_DATABASE_URL="postgresql://u:hush@h/d"))
    assert "hush" not in str(describe(loaded))
    assert {row["name"]: row["value"] for row in describe(loaded)}["TALLY_DATABASE_URL"] == "(set)"


def test_every_setting_is_documented_and_the_committed_page_is_current() -> None:
    for item in dataclasses.fields(Settings):
        assert item.metadata["doc"].endswith("."), item.name
        assert f"`{variable(item.name)}`" in render_reference()
    assert REFERENCE.read_text(encoding="utf-8") == render_reference(), (
        "run `python -m tallystick.settings > docs/reference/settings.md`"
    )
