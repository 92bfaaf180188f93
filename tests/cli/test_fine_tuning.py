"""`tally fine-tuning` as processes, and the same calls through the client."""

from tallystick.client import Client
from tests.cli.conftest import Shell

WORK = ("--base-model", "llama-8b", "--training-tokens", "500000", "--epochs", "3", "--parameters", "8000000000")


def test_a_job_is_previewed_begun_reported_and_listed(tally: Shell) -> None:
    preview = tally("fine-tuning", "preview", *WORK)
    assert (preview.status, preview.answer["credits"], preview.answer["allowed"]) == (0, 15, True)
    begun = tally("fine-tuning", "create", *WORK, "--model", "support")
    job = begun.answer["job"]
    assert (begun.status, job["status"], job["estimate"]) == (0, "running", 15)
    ended = tally(
        "fine-tuning", "report", job["uuid"], "--status", "failed", "--training-tokens", "500000", "--epochs", "0.5"
    )
    assert (ended.status, ended.answer["job"]["credits"]) == (0, 2.5)
    assert tally("fine-tuning", "get", job["uuid"]).answer == ended.answer
    assert tally("fine-tuning", "list", "--status", "running").answer == {"jobs": []}
    table = tally("fine-tuning", "list", "--format", "table").stdout
    assert table.splitlines()[3].split()[1:6] == ["support", "llama-8b", "failed", "15", "2.5"]
    drawn = tally("fine-tuning", "preview", *WORK, "--format", "table").stdout
    assert ["fine_tuning.job", "1500000", "fine_tuning.job/small", "15"] in [
        line.split() for line in drawn.splitlines()
    ]


def test_too_few_credits_end_with_3(tally: Shell) -> None:
    refused = tally(
        "fine-tuning", "create", "--base-model", "big", "--training-tokens", "1000000", "--complexity", "large"
    )
    assert (refused.status, refused.answer["reason"]) == (3, "notEnoughCredits")
    assert tally("fine-tuning", "create", "--base-model", "big", "--training-tokens", "1").status == 1


def test_the_client_says_the_same(tally: Shell) -> None:
    with Client(tally.house.base_url, tally.shop.token) as client:
        preview = client.preview_fine_tuning_job("llama-8b", 500_000, epochs="1.5", complexity="small")
        assert preview.credits.nano == 7_500_000_000
        job = client.create_fine_tuning_job("llama-8b", 500_000, complexity="small", idempotency_key="one").job
        ended = client.report_fine_tuning_job(job.uuid, "cancelled", training_tokens=0, epochs=0, reason="by hand").job
        assert (ended.status, ended.credits.nano if ended.credits else 0, ended.reason) == ("cancelled", 0, "by hand")
        assert client.list_fine_tuning_jobs(status="cancelled").jobs == [client.get_fine_tuning_job(job.uuid).job]
