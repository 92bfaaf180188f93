"""The client for threads: usage is kept in memory and sent by a thread of its own; calls answer where they stand."""

import atexit
import datetime as dt
import os
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
from tallystick.client.batching import Batching
from tallystick.client.connecting import Connecting, default_agent
from tallystick.client.delivery import Outcome, Retrying
from tallystick.client.errors import EventProblem, RecordingError
from tallystick.client.events import EncodedEvent, EventMaker, UsageData
from tallystick.client.holding import RunState
from tallystick.client.leases import Lease, LeaseAccount
from tallystick.client.methods import method
from tallystick.client.replies import Call
from tallystick.client.runs import F, RunArguments, metered_tool, terms_of
from tallystick.client.synchronous_runs import Keeper, Run
from tallystick.client.synchronous_sending import EXIT_SECONDS, Recorders, SyncTransport
from tallystick.kernel.clock import Clock, SystemClock
from tallystick.kernel.ids import Ids, SystemIds

T = TypeVar("T")

_KEEPERS: "Final[weakref.WeakSet[Keeper]]" = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    """Before the recorders' own end of the program: what runs still have to tell goes there."""
    for keeper in list(_KEEPERS):
        keeper.close(EXIT_SECONDS)


def _after_fork() -> None:
    for keeper in list(_KEEPERS):
        keeper.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Client:
    """A connection to one server with one token. Safe to use from several threads; close it, or use it in a `with`.

    `workspace_uuid` selects a workspace for an operator's token. `subject` and `source` are those of recorded events
    that name none; without a subject they belong to the token's workspace. `timeout` is in seconds, per request.
    `on_problem` is called, from another thread, for every recorded event that the server does not take. When the server
    can't be reached, a run does not start (`unreachable="closed"`), or may within the bounds of a `Lease`; its account
    is `lease`. `runs` says how long runs try to reach it, and how often they settle.
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
        self._transport = SyncTransport(connecting)
        self.lease = None if unreachable == "closed" else LeaseAccount(unreachable)
        self._recorders = Recorders(self._transport, batching or Batching(), self._retrying, on_problem, self.lease)
        policy = runs or RunPolicy()
        self._rules = Rules(base_url, policy, self.lease, machine_time.monotonic, random.random)
        exchange = partial(self._transport.exchange, timeout=policy.timeout)
        self._keeper = Keeper(self, exchange, self._recorders.record, self._recorders.usual.note)
        _KEEPERS.add(self._keeper)

    def record(
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
        """Report usage; returns the event's id at once, the sending happens behind.

        Raises `BufferFullError` when there was no room in time, TypeError for fields that no event has.
        """
        event = self._maker.make(type, id, source, subject, time, data, fields)
        self._recorders.usual.add(event)
        return event.id

    def run(self, **arguments: Unpack[RunArguments]) -> Run:
        """A run, for use in a `with`: on enter `estimate` is set aside, at the end what was used is settled.

            with tally.run(workflow="enrich-leads", estimate=2) as run:
                run.llm(model="gpt-4o", input_tokens=1200, output_tokens=45)

        The arguments are those of `RunArguments`. Entering raises `RefusedError` when the money or a budget does not
        allow it, and `ServerUnreachableError`.
        """
        return Run(self._keeper, self._maker, RunState(self._rules, terms_of(self._maker, arguments)))

    def tool(self, **fields: Unpack[UsageData]) -> Callable[[F], F]:
        """A decorator: within a run each call of the function is reported as `tool.call`, with its status.

        Without a `connector`, `integration` or `tool` the function's name is the tool's.
        """
        return metered_tool(self, fields)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was recorded so far has been settled.

        Raises `RecordingError` with what the server did not take since the last flush, TimeoutError after `timeout`
        seconds: then the sending goes on.
        """
        self._recorders.flush(timeout)

    def close(self, timeout: float | None = EXIT_SECONDS) -> None:
        """Settle runs, flush, end. Raises `RecordingError` with what was not taken, or not sent in `timeout` s."""
        try:
            self._keeper.close(timeout)
            self._recorders.close(timeout)
        finally:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.close()
        except RecordingError:
            if kind is None:
                raise  # with another error under way, that one is the news; the log has these

    def send(self, call: Call[T]) -> T:
        """The answer to a call of `tallystick.client.calls`. Raises `ApiError` and `ServerUnreachableError`."""
        return call.decoder.decode(self._transport.send(call))

    def send_raw(self, call: Call[Any]) -> bytes:
        """The same as the JSON that the server wrote."""
        return self._transport.send(call)

    def deliver(self, events: list[EncodedEvent], path: str = delivery.EVENTS_PATH) -> Outcome:
        """Send encoded events now and wait for what becomes of them, with all the retrying that `record` gets."""
        return self._transport.run(delivery.deliver(events, self._retrying, random.random, path), machine_time.sleep)

    usage_metrics = method(calls.usage_metrics)
    usage_tab = method(tabs.usage_tab)
    subscription = method(calls.subscription)
    balances = method(calls.balances)
    current_user = method(calls.current_user)
    current_workspace = method(calls.current_workspace)
    plays = method(calls.plays)
    tools = method(calls.tools)
    agents = method(calls.agents)
    connectors = method(calls.connectors)
    models = method(calls.models)
    create_token = method(calls.create_token)
    tokens = method(calls.tokens)
    revoke_token = method(calls.revoke_token)
    create_workspace = method(calls.create_workspace)
    workspaces = method(calls.workspaces)
    clock = method(calls.clock)
    advance_clock = method(calls.advance_clock)
    jobs = method(calls.jobs)
    create_grant = method(calls.create_grant)
    price_versions = method(calls.price_versions)
    add_price = method(calls.add_price)
    plans = method(plan_calls.plans)
    add_plan = method(plan_calls.add_plan)
    retire_plan = method(plan_calls.retire_plan)
    migrate_plan = method(plan_calls.migrate_plan)
    entitlements = method(plan_calls.entitlements)
    change_plan = method(plan_calls.change_plan)
    preview_plan = method(plan_calls.preview_plan)
    revoke_change = method(plan_calls.revoke_change)
    cancel_subscription = method(plan_calls.cancel_subscription)
    start_trial = method(plan_calls.start_trial)
    pause_subscription = method(plan_calls.pause_subscription)
    resume_subscription = method(plan_calls.resume_subscription)
    put_overage_cap = method(plan_calls.put_overage_cap)
    put_overage_behaviors = method(plan_calls.put_overage_behaviors)
    close_workspace = method(plan_calls.close_workspace)
    payments = method(payment_calls.payments)
    credit_card = method(payment_calls.credit_card)
    create_portal_session = method(payment_calls.create_portal_session)
    create_setup_intent = method(payment_calls.create_setup_intent)
    put_payment_method = method(payment_calls.put_payment_method)
    billing_account = method(payment_calls.billing_account)
    put_billing_account = method(payment_calls.put_billing_account)
    mark_paid = method(payment_calls.mark_paid)
    refund_payment = method(payment_calls.refund_payment)
    import_statement = method(payment_calls.import_statement)
    bank_transactions = method(payment_calls.bank_transactions)
    match_bank_transaction = method(payment_calls.match_bank_transaction)
    buy_credits = method(purchase_calls.buy_credits)
    preview_credits = method(purchase_calls.preview_credits)
    purchases = method(purchase_calls.purchases)
    purchase = method(purchase_calls.purchase)
    create_credits_checkout_session = method(purchase_calls.create_credits_checkout_session)
    refund_purchase = method(purchase_calls.refund_purchase)
    set_topup = method(purchase_calls.set_topup)
    switch_topup_off = method(purchase_calls.switch_topup_off)
    topup = method(purchase_calls.topup)
    revenue = method(purchase_calls.revenue)
    place_hold = method(hold_calls.place_hold)
    get_hold = method(hold_calls.hold)
    list_holds = method(hold_calls.holds)
    settle_hold = method(hold_calls.settle_hold)
    void_hold = method(hold_calls.void_hold)
    extend_hold = method(hold_calls.extend_hold)
    list_facts = method(telling.facts)
    list_mails = method(telling.mails)
    get_mail = method(telling.mail)
    retry_mail = method(telling.retry_mail)
    notification_preferences = method(telling.notification_preferences)
    set_notification_preferences = method(telling.set_notification_preferences)
    banners = method(operations.banners)
    dismiss_banner = method(operations.dismiss_banner)
    widget = method(operations.widget)
    grants = method(operations.grants)
    adjust_credits = method(operations.adjust_credits)
    expire_grant = method(operations.expire_grant)
    limits = method(operations.limits)
    put_limits = method(operations.put_limits)
    audit_entries = method(operations.audit_entries)
    gate = method(budgets.gate)
    create_budget = method(budgets.create_budget)
    list_budgets = method(budgets.budgets)
    get_budget = method(budgets.budget)
    change_budget = method(budgets.change_budget)
    delete_budget = method(budgets.delete_budget)
    create_deployment = method(deployments.create_deployment)
    preview_deployment = method(deployments.preview_deployment)
    import_deployments = method(deployments.import_deployments)
    list_deployments = method(deployments.deployments)
    get_deployment = method(deployments.deployment)
    deploy = method(deployments.deploy)
    report_deployed = method(deployments.report_deployed)
    report_not_deployed = method(deployments.report_not_deployed)
    scale_deployment = method(deployments.scale_deployment)
    undeploy = method(deployments.undeploy)
    confirm_stopped = method(deployments.confirm_stopped)
    delete_deployment = method(deployments.delete_deployment)
    hardware_profiles = method(deployments.hardware_profiles)
    put_hardware_profile = method(deployments.put_hardware_profile)
    create_fine_tuning_job = method(fine_tuning.create_fine_tuning_job)
    preview_fine_tuning_job = method(fine_tuning.preview_fine_tuning_job)
    report_fine_tuning_job = method(fine_tuning.report_fine_tuning_job)
    get_fine_tuning_job = method(fine_tuning.fine_tuning_job)
    list_fine_tuning_jobs = method(fine_tuning.fine_tuning_jobs)
    create_webhook = method(webhooks.create_webhook)
    list_webhooks = method(webhooks.webhooks)
    list_webhook_kinds = method(webhooks.webhook_kinds)
    get_webhook = method(webhooks.webhook)
    change_webhook = method(webhooks.change_webhook)
    delete_webhook = method(webhooks.delete_webhook)
    rotate_webhook_secret = method(webhooks.rotate_webhook_secret)
    send_webhook_test = method(webhooks.send_webhook_test)
    list_webhook_deliveries = method(webhooks.webhook_deliveries)
    get_webhook_delivery = method(webhooks.webhook_delivery)
    replay_webhook_delivery = method(webhooks.replay_webhook_delivery)
    replay_webhook = method(webhooks.replay_webhook)
    put_workflow = method(orchestration.put_workflow)
    get_workflow = method(orchestration.workflow)
    create_run = method(orchestration.create_run)
    get_run = method(orchestration.run)
    list_runs = method(orchestration.runs)
    cancel_runs = method(orchestration.cancel_runs)
    create_batch = method(orchestration.create_batch)
    get_batch = method(orchestration.batch)
    list_batches = method(orchestration.batches)
    cancel_batch = method(orchestration.cancel_batch)
    claim_runs = method(orchestration.claim_runs)
    report_execution = method(orchestration.report_execution)
    send_heartbeat = method(orchestration.send_heartbeat)
    finish_run = method(orchestration.finish_run)
    get_receipt = method(costs.receipt)
    refund_run = method(costs.refund_run)
    get_estimate = method(costs.estimate)
    simulate = method(costs.simulate)
    get_invoice_pdf = method(documents.invoice_pdf)
    get_invoice_xml = method(documents.invoice_xml)
    create_invoice_link = method(documents.create_invoice_link)
