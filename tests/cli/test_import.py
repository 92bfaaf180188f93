"""Importing into a real server: exactly once, refusals by row, the guide's commands, and the real traces."""

import gzip
import json
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tallystick.kernel.credits import NANO
from tests.cli.conftest import Shell
from tests.client.gateway import LOSE_ANSWER, LOSE_REQUEST, Answer, Gateway
from tests.serving import Shop

ROOT = Path(__file__).parents[2]
TRACES = ROOT.parent / "shared" / "traces"
GUIDE = ROOT / "docs" / "guides" / "bring-your-history.md"

CALLS = ("--map", "time=TIMESTAMP", "--map", "inputTokens=ContextTokens", "--map", "outputTokens=GeneratedTokens")
LENGTHS = (
    *("--map", "time=timestamp", "--map", "inputTokens=input_length", "--map", "outputTokens=output_length"),
    *("--time-unit", "ms", "--time-base", "2024-01-01T00:00:00Z"),
)
ANALYTICS = (
    *("--where", "event=message_send", "--map", "time", "--map", "user=user_id", "--map", "cost=properties.cost"),
    *("--map", "model=properties.main_model", "--map", "inputTokens=properties.prompt_tokens"),
    *("--map", "outputTokens=properties.completion_tokens"),
)
GPT = ("--set", "model=gpt-4o")


def write_calls(path: Path, count: int) -> tuple[int, int]:
    chance = random.Random(7)
    rows = [(chance.randrange(1, 8000), chance.randrange(1, 300)) for _ in range(count)]
    lines = [f"2023-11-16 18:{at // 60 % 60:02}:{at % 60:02}.{at:07},{i},{o}" for at, (i, o) in enumerate(rows)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines, ""]))
    return sum(i for i, _ in rows), sum(o for _, o in rows)


def write_lengths(path: Path, count: int) -> tuple[int, int]:
    rows = [
        {"timestamp": at * 37, "input_length": at % 900, "output_length": 3, "hash_ids": [0]} for at in range(count)
    ]
    path.write_bytes(gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows)))
    return sum(row["input_length"] for row in rows), 3 * count  # type: ignore[misc]


def write_array(path: Path, count: int) -> tuple[int, int]:
    rows = [{"at": f"2024-05-02T08:00:{at % 60:02}+02:00", "in": 10 + at, "out": 1} for at in range(count)]
    path.write_text(json.dumps(rows))
    return sum(10 + at for at in range(count)), count


def write_analytics(path: Path, count: int) -> tuple[int, int]:
    lines = []
    for at in range(count):
        properties: dict[str, Any] = {}
        if at % 2:
            properties = {"main_model": "gemini/gemini-2.5-pro", "prompt_tokens": at, "completion_tokens": 2}
        line = {"event": "message_send" if at % 2 else "launched", "properties": properties, "user_id": "u", "time": at}
        lines.append(json.dumps(line)[:-1].replace("}", ', "cost": 0.013317500000000001}' if at % 2 else "}") + "}")
    path.write_text("\n".join(lines))
    return sum(range(1, count, 2)), 2 * (count // 2)


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (write_calls, (*CALLS, *GPT)),
        (write_lengths, (*LENGTHS, *GPT)),
        (write_array, ("--map", "time=at", "--map", "inputTokens=in", "--map", "outputTokens=out", *GPT)),
        (write_analytics, ANALYTICS),
    ],
    ids=["csv", "ndjson.gz", "json", "analytics"],
)
def test_generated_files_of_every_format_are_booked_once_to_the_last_token(
    tally: Shell, shop: Shop, write: Any, options: tuple[str, ...]
) -> None:
    tokens_in, tokens_out = write(tally.folder / "history", 250)
    before = tally("billing", "subscription", "get").answer["subscription"]["subscriptionAvailableCreditsCount"]
    first = tally("events", "import", "history", "--batch-size", "60", *options)
    assert (first.status, first.stderr) == (0, "")
    again = tally("events", "import", "history", "--batch-size", "99", *options)
    assert (again.answer["accepted"], again.answer["duplicates"]) == (0, first.answer["accepted"])
    assert again.answer["chargedCredits"] == 0
    for answer in (first.answer, again.answer):
        assert answer["tokens"] == {"inputTokens": tokens_in, "outputTokens": tokens_out}
        assert answer["rows"] == 250 == answer["accepted"] + answer["duplicates"] + answer["skipped"]
    booked = shop.events()
    assert (booked["tokens_in"], booked["tokens_out"]) == (tokens_in, tokens_out)
    charged = json.loads(first.stdout, parse_float=Decimal)["chargedCredits"]
    assert booked["credits"] == charged * NANO > 0
    after = tally("billing", "subscription", "get").answer["subscription"]["subscriptionAvailableCreditsCount"]
    assert after == before


def test_debit_takes_it_from_the_balance(tally: Shell, shop: Shop) -> None:
    write_calls(tally.folder / "calls.csv", 5)
    done = tally("events", "import", "calls.csv", *CALLS, *GPT, "--debit")
    charged = json.loads(done.stdout, parse_float=Decimal)["chargedCredits"]
    balance = shop.one("SELECT posted FROM balance WHERE workspace_id = %(workspace)s AND unit = 'credits'")
    assert balance["posted"] == 75 * NANO - charged * NANO


def test_refused_rows_are_named_and_the_others_booked(tally: Shell, shop: Shop) -> None:
    rows = [
        {"id": "a", "time": "2024-05-02T08:00:00Z", "model": "gpt-4o", "inputTokens": 5},
        {"id": "b", "time": "noon", "model": "gpt-4o", "inputTokens": 5},
        {"id": "c", "time": "2024-05-02T08:00:00Z", "model": "gpt-4o", "inputTokens": "five"},
        {"id": "a", "time": "2024-05-02T08:00:00Z", "model": "gpt-4o", "inputTokens": 6},
        {"id": "d", "time": "2999-05-02T08:00:00Z", "model": "gpt-4o", "inputTokens": 7},
        {"id": "e", "time": "2024-05-02T08:00:01Z", "model": "x" * 201, "inputTokens": 8},
        {"id": "f", "time": "2024-05-02T08:00:01Z", "model": "gpt-4o", "inputTokens": 9},
    ]
    lines = [*(json.dumps(row) for row in rows), "no json"]
    (tally.folder / "mixed").write_text("\n".join(lines))
    done = tally("events", "import", "mixed", "--rejects", "refused.ndjson")
    assert done.status == 1
    counts = {key: done.answer[key] for key in ("rows", "accepted", "conflicts", "rejected")}
    assert counts == {"rows": 8, "accepted": 2, "conflicts": 1, "rejected": 5}
    assert done.answer["tokens"] == {"inputTokens": 14}
    refused = [json.loads(line) for line in (tally.folder / "refused.ndjson").read_text().splitlines()]
    assert {(row["row"], row["reason"]) for row in refused} == {
        (2, "invalidTime"),
        (3, "invalidNumber"),
        (4, "conflict"),
        (5, "timeInFuture"),
        (6, "invalidData"),
        (8, "unreadableRow"),
    }
    assert len(done.stderr.splitlines()) == 6
    assert "row 3: invalidNumber: inputTokens must be a whole number" in done.stderr
    assert shop.events()["tokens_in"] == 14


def test_only_the_first_refusals_are_told_to_people(tally: Shell) -> None:
    (tally.folder / "bad.csv").write_text("time\n" + "soon\n" * 25)
    done = tally("events", "import", "bad.csv", "--set", "type=direct.charge", "--dry-run")
    assert (done.status, done.answer["rejected"], done.answer["valid"]) == (1, 25, 0)
    assert len(done.stderr.splitlines()) == 11
    assert "and 15 more" in done.stderr


def test_an_import_survives_a_bad_connection_and_goes_on_after_a_broken_one(
    tally: Shell, shop: Shop, gateway: Gateway
) -> None:
    tokens_in, _ = write_calls(tally.folder / "calls.csv", 120)
    command = ("events", "import", "calls.csv", *CALLS, *GPT, "--batch-size", "40")
    gateway.script.extend([LOSE_ANSWER, LOSE_REQUEST, Answer(503, headers={"retry-after": "0"})])
    assert tally(*command, TALLY_BASE_URL=gateway.url).status == 0
    other = tally.house.shop()
    gateway.script.extend(["pass", Answer(403, b'{"errorMessage":"forbidden"}')])
    broken = tally(*command, TALLY_BASE_URL=gateway.url, TALLY_TOKEN=other.token)
    assert (broken.status, broken.answer) == (1, {"errorMessage": "forbidden"})
    assert other.events()["events"] == 40
    resumed = tally(*command, TALLY_TOKEN=other.token).answer
    assert (resumed["accepted"], resumed["duplicates"]) == (80, 40)
    assert shop.events()["tokens_in"] == other.events()["tokens_in"] == tokens_in


def test_no_server_and_no_file_are_told_like_everywhere(tally: Shell) -> None:
    write_calls(tally.folder / "calls.csv", 1)
    gone = tally("events", "import", "calls.csv", *CALLS, TALLY_BASE_URL="http://127.0.0.1:1")
    assert (gone.status, gone.answer["reason"]) == (4, "serverUnreachable")
    missing = tally("events", "import", "missing.csv")
    assert (missing.status, missing.answer["reason"]) == (1, "fileError")
    mapping = tally("events", "import", "calls.csv", "--map", "inputToken=x")
    assert (mapping.status, mapping.answer["reason"]) == (1, "invalidMapping")


def test_the_commands_of_the_guide_work_as_they_stand(tally: Shell, shop: Shop) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = []
    for language, name, content in blocks:
        if name:
            written = content.encode()
            (tally.folder / name).write_bytes(gzip.compress(written) if name.endswith(".gz") else written)
        if language == "sh":
            commands += [line for line in content.splitlines() if line.strip()]
    assert len(commands) >= 6
    for command in commands:
        program, *arguments = command.split()
        assert program == "tally"
        done = tally(*arguments)
        assert (done.status, done.stderr) == (0, ""), command
        assert done.answer["rows"] >= 2
        assert done.answer["rejected"] == 0
    assert shop.events()["events"] == 2 + 2 + 1 + 2
    given = "SELECT provider_cost FROM usage_event WHERE workspace_id = %(workspace)s AND user_id IS NOT NULL"
    assert shop.one(given)["provider_cost"] == 13_317_500


@pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces are not beside this checkout (../shared/traces)")
@pytest.mark.parametrize(
    ("name", "options", "events", "tokens_in", "tokens_out"),
    [
        ("azure_llm_2023_code.csv", (*CALLS, *GPT), 8_819, 18_059_974, 245_896),
        ("azure_llm_2023_conv.csv", (*CALLS, *GPT), 19_366, 22_361_870, 4_088_665),
        ("mooncake_conversation.jsonl.gz", (*LENGTHS, *GPT), 12_031, 144_793_823, 4_122_048),
        ("aider_sample_analytics.jsonl", ANALYTICS, 107, 2_484_349, 45_772),
    ],
)
def test_the_real_traces_are_booked_to_the_last_token(
    tally: Shell, shop: Shop, name: str, options: tuple[str, ...], events: int, tokens_in: int, tokens_out: int
) -> None:
    done = tally("events", "import", str(TRACES / name), *options)
    assert (done.status, done.answer["accepted"]) == (0, events)
    assert done.answer["tokens"] == {"inputTokens": tokens_in, "outputTokens": tokens_out}
    booked = shop.events()
    assert (booked["events"], booked["tokens_in"], booked["tokens_out"]) == (events, tokens_in, tokens_out)
    if name.startswith("aider"):
        assert round(booked["cost"], -3) == 5_305_332_000
