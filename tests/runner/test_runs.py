"""Runs on a real server: the way they go, how they fail and end, and what they are charged."""

import asyncio
from typing import Any

import pytest

from tallystick.client import orchestration as calls
from tallystick.kernel.addresses import Allowed
from tests.runner.conftest import EXECUTION, NANO, Bench, chat, http, node, path_of
from tests.runner.outside import Web

FAST = {"initialInterval": 1, "backoffCoefficient": 1}


def types(bench: Bench) -> list[str]:
    return sorted(charge["type"] for charge in bench.charges())


async def test_a_run_goes_from_node_to_node_and_is_charged_for_each(bench: Bench) -> None:
    with bench.endpoint.logged() as asked:
        run = await bench.run(
            node("pick", "set", {"values": {"name": "{{ data.company }}"}}, "write"),
            chat("write", "Greet {{ nodes.pick.name }}. [[say Hello, {{ nodes.pick.name }}!]]", "keep"),
            node("keep", "insert", {"table": "greetings", "records": [{"text": "{{ nodes.write.text }}"}]}),
            data={"company": "Lumen & Oak"},
        )
    assert path_of(run) == "pick:success write:success keep:success"
    assert (run.status, run.output) == (
        "success",
        {"table": "greetings", "records": [{"text": "Hello, Lumen & Oak!"}]},
    )
    (call,) = asked
    assert types(bench) == ["llm.tokens", *["orchestration.execution"] * 3, "storage.records"]
    spoken = call.prompt_tokens * 200_000 + call.completion_tokens * 400_000
    assert run.credits_used_count.nano == spoken + 3 * EXECUTION + NANO // 1000
    assert {charge["run"] for charge in bench.charges()} == {str(run.uuid)}
    model = next(charge for charge in bench.charges() if charge["type"] == "llm.tokens")
    assert (model["tokens_in"], model["tokens_out"]) == (call.prompt_tokens, call.completion_tokens)
    assert model["slug"] == "integration.local.chat"


@pytest.mark.parametrize(
    ("size", "path", "status"), [(11, "few:success ask:success", "success"), (9, "few:skipped", "skipped")]
)
async def test_a_filter_lets_through_what_is_worth_it(bench: Bench, size: int, path: str, status: str) -> None:
    run = await bench.run(
        node("few", "filter", {"expression": "data.size > 10"}, "ask"), chat("ask", "Well?"), data={"size": size}
    )
    assert (path_of(run), run.status) == (path, status)
    assert types(bench).count("llm.tokens") == (1 if size > 10 else 0)


async def test_a_branch_goes_to_the_child_that_its_expression_names(bench: Bench, web: Web, web_url: str) -> None:
    run = await bench.run(
        node("big", "branch", {"expression": "data.size > 10"}, "yes", "no"),
        http("yes", f"{web_url}/yes"),
        http("no", f"{web_url}/no"),
        data={"size": 3},
    )
    assert path_of(run) == "big:success no:success"
    assert web.requests == ["/no"]
    (branch, _) = run.executions
    assert branch.node_child_index == 1


async def test_a_node_is_tried_again_as_often_as_it_says_and_each_call_is_charged(
    bench: Bench, web: Web, web_url: str
) -> None:
    run = await bench.run(http("look", f"{web_url}/flaky/2", retry={"maximumAttempts": 3, **FAST}))
    assert (run.status, path_of(run)) == ("success", "look:success")
    assert run.executions[0].attempt == 3
    assert len(web.requests) == 3
    tools = [charge for charge in bench.charges() if charge["type"] == "tool.call"]
    assert [charge["status"] for charge in tools] == ["error", "error", "success"]
    assert sum(charge["tool_runs"] for charge in tools) == 3 * NANO
    assert run.credits_used_count.nano == 3 * NANO // 2 + EXECUTION


async def test_a_failure_ends_the_run_where_nothing_else_is_said(bench: Bench, web: Web, web_url: str) -> None:
    run = await bench.run(
        http("look", f"{web_url}/status/500", "after", retry={"maximumAttempts": 2, **FAST}), chat("after", "Go on.")
    )
    assert (run.status, run.reason) == ("error", "connectorError")
    assert "look" in run.error_message
    assert path_of(run) == "look:error"
    assert len(web.requests) == 2
    assert types(bench) == ["orchestration.execution", "tool.call", "tool.call"]


async def test_a_failure_goes_on_to_the_fallback_which_can_read_why(bench: Bench, web_url: str) -> None:
    run = await bench.run(
        http("look", f"{web_url}/status/404", "after", fallback="plan-b", fallbackOnFailure=True),
        chat("after", "Go on."),
        node(
            "plan-b",
            "set",
            {"values": {"why": "{{ nodes.look.error.reason }}", "status": "{{ nodes.look.answer.status }}"}},
        ),
    )
    assert (run.status, path_of(run)) == ("success", "look:error plan-b:success")
    assert run.output == {"why": "connectorError", "status": 404}


async def test_a_failure_without_a_named_fallback_goes_on_to_the_children(bench: Bench, web_url: str) -> None:
    run = await bench.run(http("look", f"{web_url}/status/404", "after", fallbackOnFailure=True), node("after", "set"))
    assert (run.status, path_of(run)) == ("success", "look:error after:success")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (node("x", "filter", {"expression": "data.nothing > 1"}), "invalidExpression"),
        (node("x", "filter"), "invalidConfig"),
        (node("x", "dance"), "invalidConfig"),
        (node("x", "wait", {"seconds": -1}), "invalidConfig"),
        (node("x", "chat", {"prompt": "no model"}, kind="connector"), "invalidConfig"),
        (node("x", "look", {}, kind="connector"), "invalidConfig"),
        (chat("x", "[[fail 400]]"), "modelError"),
        (chat("x", "hi", model="unknown"), "modelError"),
        (chat("x", "hi", config={"baseUrl": "http://127.0.0.1:9/v1"}), "modelUnreachable"),
        (http("x", "ftp://example.org/"), "addressRefused"),
    ],
)
async def test_a_node_that_can_not_do_its_work_says_why(bench: Bench, broken: dict[str, Any], reason: str) -> None:
    run = await bench.run(broken)
    assert (run.status, run.reason) == ("error", reason)
    assert types(bench) == ["orchestration.execution"]


async def test_a_stream_is_charged_by_the_counts_at_its_end(bench: Bench) -> None:
    with bench.endpoint.logged() as asked:
        run = await bench.run(
            chat("think", "Think. [[cached 5]]", model="tally-thinker", config={"stream": True}),
        )
    (call,) = asked
    assert call.stream
    assert run.status == "success"
    model = next(charge for charge in bench.charges() if charge["type"] == "llm.tokens")
    counted = model["data"]
    assert counted["inputTokens"] == call.prompt_tokens
    assert counted["outputTokens"] == call.completion_tokens
    assert counted["cachedInputTokens"] == 5
    assert counted["reasoningTokens"] == call.reasoning_tokens == 60


TOOL = {
    "slug": "look",
    "actionSlug": "look",
    "integrationSlug": "paid",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}


def agent(web_url: str, prompt: str, **more: Any) -> dict[str, Any]:
    tool = {**TOOL, "config": {"url": f"{web_url}/echo", "method": "POST", "body": {"q": "{{ arguments.query }}"}}}
    config = {"model": "tally-small", "prompt": prompt, "agent": "scout", "tools": [tool], **more}
    return node("scout", "answer", config, kind="agent", integrationSlug="local")


@pytest.mark.parametrize(
    ("limits", "steps"), [({}, 4), ({"maxSteps": 2}, 2), ({"maxSteps": 0}, 0), ({"maxSteps": 9}, 4)]
)
async def test_an_agent_takes_its_steps_and_no_more_than_it_may(
    bench: Bench, web: Web, web_url: str, limits: dict[str, int], steps: int
) -> None:
    with bench.endpoint.logged() as asked:
        run = await bench.run(agent(web_url, "Find it. [[steps 4]] [[say Found.]]", **limits))
    assert (run.status, run.output) == ("success", {"text": "Found.", "steps": steps})
    assert len(web.requests) == steps
    assert len(asked) == steps + 1
    assert types(bench) == [*["llm.tokens"] * (steps + 1), "orchestration.execution", *["tool.call"] * steps]
    spoken = sum(call.prompt_tokens * 200_000 + call.completion_tokens * 400_000 for call in asked)
    assert run.credits_used_count.nano == spoken + steps * NANO // 2 + EXECUTION


async def test_the_limit_of_the_workflow_binds_its_agents(bench: Bench, web: Web, web_url: str) -> None:
    run = await bench.run(agent(web_url, "[[steps 5]]", maxSteps=4), maxSteps=1)
    assert run.output["steps"] == 1
    assert len(web.requests) == 1


async def test_an_agent_goes_on_where_it_failed_and_counts_its_steps_over_all_attempts(
    bench: Bench, web: Web, web_url: str
) -> None:
    failing = agent(
        web_url, '[[call look {"query": "a"}]] [[call look {"query": "b"}]] [[fail 503 first 1]]', maxSteps=1
    )
    run = await bench.run({**failing, "retry": {"maximumAttempts": 4, **FAST}})
    assert (run.status, run.output["steps"]) == ("success", 1)
    assert len(web.requests) == 1


async def test_a_failing_tool_is_told_to_the_agent_and_charged(bench: Bench, web_url: str) -> None:
    nowhere = {**TOOL, "config": {"url": f"{web_url}/status/500"}}
    unknown = "[[call look {}]] [[call no-such-tool {}]] [[say Sorry.]]"
    config = {"model": "tally-small", "prompt": unknown, "tools": [nowhere]}
    run = await bench.run(node("scout", "answer", config, kind="agent", integrationSlug="local"))
    assert (run.status, run.output) == ("success", {"text": "Sorry.", "steps": 2})
    assert types(bench).count("tool.call") == 1


async def test_a_run_that_can_not_be_paid_for_stops_before_the_call(bench: Bench, web: Web, web_url: str) -> None:
    with bench.endpoint.logged() as asked:
        run = await bench.run(
            node("first", "set", {}, "dear"),
            chat("dear", "Hello.", fallback="other", fallbackOnFailure=True, config={"estimate": "1000"}),
            node("other", "set"),
        )
    assert (run.status, run.reason) == ("error", "notEnoughCredits")
    assert path_of(run) == "first:success dear:cancelled"
    assert asked == []
    assert types(bench) == ["orchestration.execution"]


async def test_a_run_at_its_cap_is_stopped_and_pays_for_what_it_did(bench: Bench, web: Web, web_url: str) -> None:
    from tallystick.client import Client

    with Client(bench.shop.base_url, bench.shop.token) as client:
        client.send(_budget("per run", "1.2"))
    run = await bench.run(agent(web_url, "[[steps 9]]", holds=True), hold_credits=NANO // 10)
    assert (run.status, run.reason) == ("error", "budgetExceeded")
    assert path_of(run) == "scout:error"
    assert 0 < len(web.requests) < 9
    assert types(bench).count("tool.call") == len(web.requests)
    assert types(bench).count("orchestration.execution") == 1


def _budget(name: str, amount: str) -> Any:
    from tallystick.client.replies import Call
    from tallystick.wire.amounts import answer_decoder, encode
    from tallystick.wire.holds import BudgetAnswer

    body = {"name": name, "scope": "workspace", "per": "run", "amount": amount}
    return Call(
        "POST",
        "/v1/budgets",
        answer_decoder(BudgetAnswer),
        body=encode(body),
        headers={"content-type": "application/json"},
    )


async def test_no_hold_is_left_when_a_run_has_ended(bench: Bench, web_url: str) -> None:
    await bench.run(agent(web_url, "[[steps 2]]"))
    run = await bench.run(http("look", "http://127.0.0.1:9/nobody"))
    assert run.reason == "connectorUnreachable"
    money, tool_runs = (await bench.client.balances()).balances
    assert (money.held.nano, tool_runs.held.nano) == (0, 0)
    assert tool_runs.used.nano == 2 * NANO


async def test_a_cancelled_run_ends_between_two_nodes(bench: Bench, web: Web, web_url: str) -> None:
    run = await bench.start(http("slow", f"{web_url}/slow/1", "after"), chat("after", "Go on."))
    async with bench.running():
        await asyncio.to_thread(web.slow.wait, 10)
        told = (await bench.client.send(calls.cancel_runs(run))).run
        assert told.status == "cancelling"
        web.go_on.set()
        ended = await bench.ended(run)
    assert (ended.status, path_of(ended)) == ("cancelled", "slow:success")
    assert types(bench) == ["orchestration.execution", "tool.call"]


async def test_a_cancelled_agent_ends_between_two_calls_and_pays_for_those_it_made(
    bench: Bench, web: Web, web_url: str
) -> None:
    tool = {**TOOL, "config": {"url": f"{web_url}/slow/2"}}
    config = {"model": "tally-small", "prompt": "[[steps 5]]", "tools": [tool]}
    run = await bench.start(node("scout", "answer", config, kind="agent", integrationSlug="local"))
    async with bench.running(lease_seconds=1):
        await asyncio.to_thread(web.slow.wait, 10)
        await bench.client.send(calls.cancel_runs(run))
        # Its next heartbeat hears of it.
        await asyncio.sleep(0.7)
        web.go_on.set()
        ended = await bench.ended(run)
    assert (ended.status, path_of(ended)) == ("cancelled", "scout:cancelled")
    assert types(bench) == ["llm.tokens", "llm.tokens", "orchestration.execution", "tool.call", "tool.call"]


async def test_a_batch_runs_each_record_once_and_no_more_at_once_than_allowed(
    bench: Bench, web: Web, web_url: str
) -> None:
    workflow = await bench.workflow(
        node("few", "filter", {"expression": "data.n % 2 == 0"}, "look"), http("look", f"{web_url}/echo")
    )
    batch = (await bench.client.send(calls.create_batch(workflow, [{"n": n} for n in range(12)]))).batch
    async with bench.running(concurrency=3):
        batch = await bench.batch_ended(batch.uuid)
    assert (batch.status, batch.executed_runs_count, batch.failed_runs_count) == ("success", 12, 0)
    assert len(web.requests) == 6
    assert batch.credits_used_count.nano == 18 * EXECUTION + 6 * NANO // 2
    assert {charge["data"]["batch"] for charge in bench.charges()} == {str(batch.uuid)}


async def test_nodes_reach_no_private_address_unless_it_is_allowed(bench: Bench, web: Web, web_url: str) -> None:
    run = await bench.run(http("look", f"{web_url}/echo"), allowed=Allowed())
    assert (run.status, run.reason) == ("error", "addressRefused")
    own = chat("ask", "Hello.", config={"baseUrl": bench.endpoint.base_url})
    assert (await bench.run(own, allowed=Allowed())).reason == "addressRefused"
    assert web.requests == []
    assert types(bench) == ["orchestration.execution"] * 2


async def test_a_redirect_is_an_answer_and_the_operators_key_stays_with_its_endpoint(
    bench: Bench, web: Web, web_url: str
) -> None:
    run = await bench.run(http("away", f"{web_url}/away"))
    assert (run.status, run.output["status"], web.requests) == ("success", 302, ["/away"])
    await bench.run(chat("ask", "Hello.", config={"baseUrl": web_url}), model_api_key="the-operators")
    assert web.requests[1:] == ["/chat/completions"]
    assert "authorization" not in web.headers[-1]
    await bench.run(chat("again", "Hello."), model_base_url=web_url, model_api_key="the-operators")
    assert web.headers[-1]["authorization"] == "Bearer the-operators"
