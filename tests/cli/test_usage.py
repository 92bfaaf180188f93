"""`tally usage report` as a process, and the same call through the client."""

import pytest

from tallystick.client import Client
from tallystick.wire.tabs import ModelsTab, OverviewTab
from tests.cli.conftest import Shell


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


@pytest.fixture
def used(tally: Shell) -> Shell:
    """A workspace with a tool that ran, a fine-tuned model and a script of which nothing runs yet."""
    with Client(tally.house.base_url, tally.shop.token) as client:
        client.record("tool.call", tool="search", quantity=3)
        job = client.create_fine_tuning_job("llama-8b", 200_000, complexity="small", model="support").job
        client.report_fine_tuning_job(job.uuid, "succeeded", training_tokens=200_000, epochs=1)
        client.flush()
    made = [
        tally("deployment", "create", "--kind", "tool", "--resource", "search", "--deployed"),
        tally("deployment", "create", "--kind", "script", "--resource", "etl", "--profile", "script-1x2", "--draft"),
    ]
    assert [done.status for done in made] == [0, 0], [done.stdout + done.stderr for done in made]
    return tally


def test_each_tab_is_json_or_a_table_with_its_total(used: Shell) -> None:
    report = ("usage", "report", "--tab")
    models = used(*report, "models", "--range", "24h", "--compare").answer
    assert (models["tab"], models["totals"]["fineTuningCredits"], models["previous"]["totals"]["credits"]) == (
        "models",
        2,
        0,
    )
    drawn = lines(used(*report, "models", "--format", "table").stdout)
    assert drawn[2][:3] == ["support", "Fine-tuned", "2"]
    assert drawn[-1] == ["total", "2"]
    drawn = lines(used(*report, "tools", "--format", "table").stdout)
    assert (drawn[2][:2], drawn[2][-1], drawn[-1]) == (["search", "3"], "Deployed", ["total", "3"])
    drawn = lines(used(*report, "overview", "--format", "table").stdout)
    assert ["fine_tuning", "models", "2"] in drawn
    assert ["credits", "used", "2", "of", "75"] in drawn
    assert ["toolRuns", "used", "3", "of", "10000"] in drawn
    drawn = lines(used(*report, "scripts", "--format", "table").stdout)
    assert drawn[2] == ["etl", "Python", "3.10.15", "0", "Draft"]
    drawn = lines(used(*report, "scripts", "--script", "etl", "--format", "table").stdout)
    assert drawn[-1] == ["total", "0", "h", "0", "min", "0"]
    assert ["total", "0", "0", "h", "0", "min"] in lines(used(*report, "guardrails", "--format", "table").stdout)
    assert lines(used(*report, "models", "--model", "support", "--format", "table").stdout)[-1] == ["total", "0"]


def test_a_tab_that_is_not_there_is_refused(tally: Shell) -> None:
    wrong = tally("usage", "report", "--tab", "money")
    assert (wrong.status, wrong.answer["reason"]) == (1, "invalidRequest")
    assert tally("usage", "report").status == 2


def test_the_client_knows_the_shape_of_each_tab(used: Shell) -> None:
    with Client(used.house.base_url, used.shop.token) as client:
        overview = client.usage_tab("overview", range_="7d")
        assert isinstance(overview, OverviewTab)
        assert len(overview.trend) == 7
        models = client.usage_tab("models", model="support")
        assert isinstance(models, ModelsTab)
        assert models.rows[0].fine_tuning_credits == models.totals.credits
