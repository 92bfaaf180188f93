"""What runs cost, through the client: receipts, estimates, simulations and refunds keep every digit."""

import pytest

from tallystick.client import ApiError, Client
from tallystick.wire.amounts import Credits
from tests.serving import House, Shop


def test_a_run_is_told_estimated_simulated_and_refunded(house: House, shop: Shop) -> None:
    with Client(shop.base_url, shop.token, source="costs") as client:
        client.record("direct.charge", id="1", run="a/b", workflow="w", node="n", quantity="1.000000001")
        client.record("orchestration.execution", id="2", run="a/b", workflow="w", node="n", status="error")
        client.record("tool.call", id="3", run="a/b", workflow="w", node="m", integration="web")
        client.flush()
        receipt = client.get_receipt("a/b").receipt
        assert (receipt.run, receipt.totals.credits) == ("a/b", Credits(1_010_000_001))
        assert [span.name for span in receipt.span.spans] == ["n", "m"]
        workflow = client.plays().plays[0].uuid
        found = client.get_estimate(workflow_uuid=workflow, records=2)
        assert found.projection is not None
        assert (found.samples, found.projection.credits.mean) == (1, Credits(2_020_000_002))
        assert client.get_estimate(runs=["a/b", "nobody's"]).samples == 1
        saved = client.simulate({"noFallback": True}, run="a/b").simulation.saved
        assert (saved.credits, saved.tool_runs) == (Credits(0), Credits(10**9))
        with pytest.raises(ApiError) as refused:
            client.refund_run("a/b", reason="no operator")
        assert refused.value.status == 403
    with Client(house.base_url, house.operator_token, workspace_uuid=str(shop.uuid)) as operator:
        refunds = [operator.refund_run("a/b", reason="r", idempotency_key="k").refund for _ in range(2)]
    assert [(refund.charges, refund.credits) for refund in refunds] == [(3, Credits(1_010_000_001))] * 2
