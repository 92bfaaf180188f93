"""The client for asyncio: the same rules and the same calls as the synchronous one, with another way of waiting."""

import atexit
import datetime as dt
import random
import time as machine_time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, Unpack

from tallystick.client import (
    budgets,
    calls,
    costs,
    delivery,
    deployments,
    documents,
    fine_tuning,
    hold_calls,
    operations,
    orchestration,
    tabs,
    telling,
    webhooks,
)
from tallystick.client import payments as payment_calls
from tallystick.client import plans as plan_calls
from tallystick.client import purchases as purchase_calls
from tallystick.client.asking import Rules, RunPolicy
from tallystick.client.asynchronous_runs import AsyncKeeper, AsyncRun
from tallystick.client.asynchronous_sending import AsyncRecorders, AsyncTransport
from tallystick.client.batching import Batching
from tallystick.client.connecting import Connecting, default_agent
from tallystick.client.delivery import Outcome, Retrying
from tallystick.client.errors import EventProblem, RecordingError
from tallystick.client.events import EncodedEvent, EventMaker, UsageData
from tallystick.client.holding import RunState
from tallystick.client.leases import Lease, LeaseAccount
from tallystick.client.methods import async_method
from tallystick.client.replies import Call
from tallystick.client.runs import F, RunArguments, metered_tool, terms_of
from tallystick.client.synchronous_sending import EXIT_SECONDS
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.ids import Ids, SystemIds

T = TypeVar("T")

_CLIENTS: "Final[weakref.WeakSet[AsyncClient]]" = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    """Before the recorders' own end of the program: what runs still have to tell goes there."""
    for client in list(_CLIENTS):
        client._leave()


class AsyncClient:
    """`Client` for asyncio: the same arguments and calls; close it with `aclose`, or use it in an `async with`.

    It belongs to the event loop in which it is first used.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        workspace_uuid: str | None = None,
        subject: str | None = None,
        source: str = "tallystick-client",
        timeout: float = 30.0,
        batching: Batching | None = None,
        retrying: Retrying | None = None,
        on_problem: Callable[[EventProblem], None] | None = None,
        unreachable: Literal["closed"] | Lease = "closed",
        runs: RunPolicy | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        agent: str | None = None,
    ) -> None:
        self._retrying = retrying or Retrying()
        self._maker = EventMaker(source, subject, clock or SystemClock(), ids or SystemIds())
        connecting = Connecting(base_url, token, workspace_uuid, timeout, agent or default_agent())
        self._transport = AsyncTransport(connecting)
        self.lease = None if unreachable == "closed" else LeaseAccount(unreachable)
        self._recorders = AsyncRecorders(
            self._transport, connecting, batching or Batching(), self._retrying, on_problem, self.lease
        )
        policy = runs or RunPolicy()
        self._rules = Rules(base_url, policy, self.lease, machine_time.monotonic, random.random)
        exchange = partial(self._transport.exchange, timeout=policy.timeout)
        self._keeper = AsyncKeeper(self, exchange, self._recorders.record, self._recorders.usual.note)
        _CLIENTS.add(self)

    async def record(
        self,
        type: str,  # noqa: A002 - named as the attribute of the event
        *,
        id: str | None = None,  # noqa: A002 - named as the attribute of the event
        source: str | None = None,
        subject: str | None = None,
        time: dt.datetime | None = None,
        data: Mapping[str, Any] | None = None,
        **fields: Unpack[UsageData],
    ) -> str:
        """Report usage; returns the event's id, having waited only where there was no room.

        Raises `BufferFullError` when there was no room in time, TypeError for fields that no event has.
        """
        event = self._maker.make(type, id, source, subject, time, data, fields)
        await self._recorders.usual.add(event)
        return event.id

    def run(self, **arguments: Unpack[RunArguments]) -> AsyncRun:
        """A run, for use in an `async with`: the same as `Client.run`.

        async with tally.run(workflow="enrich-leads", estimate=2) as run:
            run.llm(model="gpt-4o", input_tokens=1200, output_tokens=45)
        """
        return AsyncRun(self._keeper, self._maker, RunState(self._rules, terms_of(self._maker, arguments)))

    def tool(self, **fields: Unpack[UsageData]) -> Callable[[F], F]:
        """A decorator: within a run each call of the function is reported as `tool.call`, with its status.

        Without a `connector`, `integration` or `tool` the function's name is the tool's.
        """
        return metered_tool(self, fields)

    def _leave(self) -> None:
        """At the end of the program, with no event loop: what runs still had to tell is sent like recorded events."""
        self._recorders.usual.leave(self._keeper.abandon())

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same as the other client's
        """Wait until all that was recorded so far has been settled.

        Raises `RecordingError` with what the server did not take since the last flush, TimeoutError after `timeout`
        seconds: then the sending goes on.
        """
        await self._recorders.flush(timeout)

    async def aclose(self, timeout: float | None = EXIT_SECONDS) -> None:  # noqa: ASYNC109 - as above
        """Settle runs, flush, end. Raises `RecordingError` with what was not taken, or not sent in `timeout` s."""
        try:
            await self._keeper.close(timeout)
            await self._recorders.close(timeout)
        finally:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            await self.aclose()
        except RecordingError:
            if kind is None:
                raise  # with another error under way, that one is the news; the log has these

    async def send(self, call: Call[T]) -> T:
        """The answer to a call of `tallystick.client.calls`. Raises `ApiError` and `ServerUnreachableError`."""
        return call.decoder.decode(await self._transport.send(call))

    async def send_raw(self, call: Call[Any]) -> bytes:
        """The same as the JSON that the server wrote."""
        return await self._transport.send(call)

    async def deliver(self, events: list[EncodedEvent], path: str = delivery.EVENTS_PATH) -> Outcome:
        """Send encoded events now and wait for what becomes of them, with all the retrying that `record` gets."""
        return await self._transport.run(delivery.deliver(events, self._retrying, random.random, path))

    usage_metrics = async_method(calls.usage_metrics)
    usage_tab = async_method(tabs.usage_tab)
    subscription = async_method(calls.subscription)
    balances = async_method(calls.balances)
    current_user = async_method(calls.current_user)
    current_workspace = async_method(calls.current_workspace)
    plays = async_method(calls.plays)
    tools = async_method(calls.tools)
    agents = async_method(calls.agents)
    connectors = async_method(calls.connectors)
    models = async_method(calls.models)
    create_token = async_method(calls.create_token)
    tokens = async_method(calls.tokens)
    revoke_token = async_method(calls.revoke_token)
    create_workspace = async_method(calls.create_workspace)
    workspaces = async_method(calls.workspaces)
    clock = async_method(calls.clock)
    advance_clock = async_method(calls.advance_clock)
    jobs = async_method(calls.jobs)
    create_grant = async_method(calls.create_grant)
    price_versions = async_method(calls.price_versions)
    add_price = async_method(calls.add_price)
    plans = async_method(plan_calls.plans)
    add_plan = async_method(plan_calls.add_plan)
    retire_plan = async_method(plan_calls.retire_plan)
    migrate_plan = async_method(plan_calls.migrate_plan)
    entitlements = async_method(plan_calls.entitlements)
    change_plan = async_method(plan_calls.change_plan)
    preview_plan = async_method(plan_calls.preview_plan)
    revoke_change = async_method(plan_calls.revoke_change)
    cancel_subscription = async_method(plan_calls.cancel_subscription)
    start_trial = async_method(plan_calls.start_trial)
    pause_subscription = async_method(plan_calls.pause_subscription)
    resume_subscription = async_method(plan_calls.resume_subscription)
    put_overage_cap = async_method(plan_calls.put_overage_cap)
    put_overage_behaviors = async_method(plan_calls.put_overage_behaviors)
    close_workspace = async_method(plan_calls.close_workspace)
    payments = async_method(payment_calls.payments)
    credit_card = async_method(payment_calls.credit_card)
    create_portal_session = async_method(payment_calls.create_portal_session)
    create_setup_intent = async_method(payment_calls.create_setup_intent)
    put_payment_method = async_method(payment_calls.put_payment_method)
    billing_account = async_method(payment_calls.billing_account)
    put_billing_account = async_method(payment_calls.put_billing_account)
    mark_paid = async_method(payment_calls.mark_paid)
    refund_payment = async_method(payment_calls.refund_payment)
    import_statement = async_method(payment_calls.import_statement)
    bank_transactions = async_method(payment_calls.bank_transactions)
    match_bank_transaction = async_method(payment_calls.match_bank_transaction)
    buy_credits = async_method(purchase_calls.buy_credits)
    preview_credits = async_method(purchase_calls.preview_credits)
    purchases = async_method(purchase_calls.purchases)
    purchase = async_method(purchase_calls.purchase)
    create_credits_checkout_session = async_method(purchase_calls.create_credits_checkout_session)
    refund_purchase = async_method(purchase_calls.refund_purchase)
    set_topup = async_method(purchase_calls.set_topup)
    switch_topup_off = async_method(purchase_calls.switch_topup_off)
    topup = async_method(purchase_calls.topup)
    revenue = async_method(purchase_calls.revenue)
    place_hold = async_method(hold_calls.place_hold)
    get_hold = async_method(hold_calls.hold)
    list_holds = async_method(hold_calls.holds)
    settle_hold = async_method(hold_calls.settle_hold)
    void_hold = async_method(hold_calls.void_hold)
    extend_hold = async_method(hold_calls.extend_hold)
    list_facts = async_method(telling.facts)
    list_mails = async_method(telling.mails)
    get_mail = async_method(telling.mail)
    retry_mail = async_method(telling.retry_mail)
    notification_preferences = async_method(telling.notification_preferences)
    set_notification_preferences = async_method(telling.set_notification_preferences)
    banners = async_method(operations.banners)
    dismiss_banner = async_method(operations.dismiss_banner)
    widget = async_method(operations.widget)
    grants = async_method(operations.grants)
    adjust_credits = async_method(operations.adjust_credits)
    expire_grant = async_method(operations.expire_grant)
    limits = async_method(operations.limits)
    put_limits = async_method(operations.put_limits)
    audit_entries = async_method(operations.audit_entries)
    gate = async_method(budgets.gate)
    create_budget = async_method(budgets.create_budget)
    list_budgets = async_method(budgets.budgets)
    get_budget = async_method(budgets.budget)
    change_budget = async_method(budgets.change_budget)
    delete_budget = async_method(budgets.delete_budget)
    create_deployment = async_method(deployments.create_deployment)
    preview_deployment = async_method(deployments.preview_deployment)
    import_deployments = async_method(deployments.import_deployments)
    list_deployments = async_method(deployments.deployments)
    get_deployment = async_method(deployments.deployment)
    deploy = async_method(deployments.deploy)
    report_deployed = async_method(deployments.report_deployed)
    report_not_deployed = async_method(deployments.report_not_deployed)
    scale_deployment = async_method(deployments.scale_deployment)
    undeploy = async_method(deployments.undeploy)
    confirm_stopped = async_method(deployments.confirm_stopped)
    delete_deployment = async_method(deployments.delete_deployment)
    hardware_profiles = async_method(deployments.hardware_profiles)
    put_hardware_profile = async_method(deployments.put_hardware_profile)
    create_fine_tuning_job = async_method(fine_tuning.create_fine_tuning_job)
    preview_fine_tuning_job = async_method(fine_tuning.preview_fine_tuning_job)
    report_fine_tuning_job = async_method(fine_tuning.report_fine_tuning_job)
    get_fine_tuning_job = async_method(fine_tuning.fine_tuning_job)
    list_fine_tuning_jobs = async_method(fine_tuning.fine_tuning_jobs)
    create_webhook = async_method(webhooks.create_webhook)
    list_webhooks = async_method(webhooks.webhooks)
    list_webhook_kinds = async_method(webhooks.webhook_kinds)
    get_webhook = async_method(webhooks.webhook)
    change_webhook = async_method(webhooks.change_webhook)
    delete_webhook = async_method(webhooks.delete_webhook)
    rotate_webhook_secret = async_method(webhooks.rotate_webhook_secret)
    send_webhook_test = async_method(webhooks.send_webhook_test)
    list_webhook_deliveries = async_method(webhooks.webhook_deliveries)
    get_webhook_delivery = async_method(webhooks.webhook_delivery)
    replay_webhook_delivery = async_method(webhooks.replay_webhook_delivery)
    replay_webhook = async_method(webhooks.replay_webhook)
    put_workflow = async_method(orchestration.put_workflow)
    get_workflow = async_method(orchestration.workflow)
    create_run = async_method(orchestration.create_run)
    get_run = async_method(orchestration.run)
    list_runs = async_method(orchestration.runs)
    cancel_runs = async_method(orchestration.cancel_runs)
    create_batch = async_method(orchestration.create_batch)
    get_batch = async_method(orchestration.batch)
    list_batches = async_method(orchestration.batches)
    cancel_batch = async_method(orchestration.cancel_batch)
    claim_runs = async_method(orchestration.claim_runs)
    report_execution = async_method(orchestration.report_execution)
    send_heartbeat = async_method(orchestration.send_heartbeat)
    finish_run = async_method(orchestration.finish_run)
    get_receipt = async_method(costs.receipt)
    refund_run = async_method(costs.refund_run)
    get_estimate = async_method(costs.estimate)
    simulate = async_method(costs.simulate)
    get_invoice_pdf = async_method(documents.invoice_pdf)
    get_invoice_xml = async_method(documents.invoice_xml)
    create_invoice_link = async_method(documents.create_invoice_link)
