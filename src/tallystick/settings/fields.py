"""The one typed list of every setting of the program, with defaults and meanings."""
# ruff: noqa: RUF009 - the calls make dataclass fields, which is what the rule asks for

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import platformdirs


def default_home() -> Path:
    """The user's data folder of this platform, such as `~/.local/share/tallystick`."""
    return Path(platformdirs.user_data_dir("tallystick", appauthor=False))


def _setting(default: Any, doc: str, *, low: int | None = None, high: int | None = None, secret: bool = False) -> Any:
    """A field with its documentation; `low` and `high` bound a number, both inclusive."""
    return field(
        default=default,
        metadata=MappingProxyType({"doc": doc, "low": low, "high": high, "secret": secret}),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked values. The variable of a field is its name in capitals behind `TALLY_`."""

    home: Path = field(
        default_factory=default_home,
        metadata=MappingProxyType(
            {
                "doc": "Folder of the embedded database, its log, `demo.json` and `tally.toml`.",
                "low": None,
                "high": None,
                "secret": False,
                "default": "the user's data folder",
            }
        ),
    )
    config: Path | None = _setting(None, "TOML file of settings; without it `tally.toml` in `TALLY_HOME`, if there.")
    host: str = _setting("127.0.0.1", "Address that the server listens on.")
    port: int = _setting(8787, "Port that the server listens on; 0 picks a free one.", low=0, high=65_535)
    public_url: str | None = _setting(
        None, "Address at which browsers and clients reach the server; without it `http://HOST:PORT`."
    )
    database_url: str | None = _setting(
        None, "PostgreSQL 15 or newer to use in place of the embedded one, as a libpq URL.", secret=True
    )
    data_database_url: str | None = _setting(
        None, "Where workspaces' rows live when that is not `TALLY_DATABASE_URL`, as a libpq URL.", secret=True
    )
    pg_bindir: Path | None = _setting(
        None, "Folder of the PostgreSQL programs (`postgres`, `initdb`, `pg_dump`) to run in place of the bundled ones."
    )
    pool_size: int = _setting(10, "Database connections of one server process, at most.", low=2, high=500)
    lanes: int = _setting(
        3,
        "Queues of the group committer; a workspace always uses the same one, each holds a connection.",
        low=1,
        high=64,
    )
    worker: bool = _setting(True, "Whether `tally serve` does the background work itself.")
    worker_seconds: int = _setting(5, "Seconds between two looks at what background work is due.", low=1, high=3_600)

    batch_events_max: int = _setting(5_000, "Usage events that one commit takes, at most.", low=1, high=100_000)
    request_events_max: int = _setting(10_000, "Usage events in one request, at most.", low=1, high=1_000_000)
    request_bytes_max: int = _setting(
        16_777_216, "Bytes of one request's body after decompression, at most.", low=1_024, high=1_073_741_824
    )
    event_bytes_max: int = _setting(
        65_536, "Bytes of one usage event's data, at most; a larger one is rejected.", low=1_024, high=16_777_216
    )
    queue_events_max: int = _setting(
        50_000,
        "Usage events that wait for a commit, at most; beyond it the server answers 503 `busy`.",
        low=1,
        high=10_000_000,
    )
    event_age_max_days: int = _setting(400, "Days: an older event is rejected `timeTooOld`.", low=1, high=36_500)
    event_ahead_max_seconds: int = _setting(
        300, "Seconds: an event further in the future is rejected `timeInFuture`.", low=0, high=86_400
    )
    hourly_rollup_days: int = _setting(35, "Days that hourly totals are kept; daily ones stay.", low=2, high=3_650)
    metrics_days_max: int = _setting(366, "Days in the range of one usage query, at most.", low=1, high=3_660)
    resources_max: int = _setting(
        10_000,
        "Resources of one kind in a workspace that events may create; then `tooManyResources`.",
        low=1,
        high=10_000_000,
    )

    credits_per_usd: int = _setting(
        100, "Credits in one US dollar of list value, used when prices in dollars are imported.", low=1, high=1_000_000
    )
    markup: Decimal = _setting(
        Decimal("1.0"),
        "Factor on imported prices, a decimal; applied when the price version is made.",
        low=0,
        high=1_000,
    )
    free_credits: Decimal = _setting(
        Decimal(75), "Credits granted to a new workspace, a decimal with at most nine places.", low=0, high=100_000_000
    )
    free_tool_runs: Decimal = _setting(
        Decimal(10_000), "Tool runs granted to a new workspace.", low=0, high=100_000_000
    )
    free_days: int = _setting(90, "Days until those grants expire.", low=1, high=36_500)

    hold_seconds: int = _setting(
        900, "Seconds that a hold lives when its request names no deadline (rule M20).", low=1, high=86_400
    )
    hold_seconds_max: int = _setting(
        86_400, "Seconds that a hold may live, at most; extending counts from now.", low=1, high=31_536_000
    )
    hold_wait_seconds_max: int = _setting(
        30, "Seconds that a hold may wait for open holds to settle, at most.", low=0, high=600
    )
    budgets_max: int = _setting(1_000, "Budgets of one workspace, at most.", low=1, high=100_000)
    deploy_threshold: Decimal = _setting(
        Decimal(5), "Credits below which new deployments are refused (rule M16).", low=0, high=100_000_000
    )
    negative_limit: Decimal = _setting(
        Decimal(-10), "Credits at which deployments stop (rule M16); below zero.", low=-100_000_000, high=0
    )
    low_limit: Decimal = _setting(
        Decimal(1),
        "Credits at which admins are told that deployments go on below zero (M16).",
        low=0,
        high=100_000_000,
    )
    comply_seconds: int = _setting(
        300, "Seconds that the platform has for stopping what reached the negative limit.", low=1, high=604_800
    )
    metering_seconds: int = _setting(60, "Seconds after which a running deployment is charged.", low=1, high=3_600)
    deployments_max: int = _setting(1_000, "Deployments of one workspace, at most.", low=1, high=1_000_000)
    fine_tune_minimum: Decimal = _setting(
        Decimal(25), "Credits of which more must be available for a fine-tuning job.", low=0, high=100_000_000
    )
    receipt_charges_max: int = _setting(10_000, "Charges that one receipt shows, at most.", low=1, high=1_000_000)
    estimate_days: int = _setting(30, "Days back from which estimates take past runs.", low=1, high=366)
    estimate_runs_max: int = _setting(200, "Past runs that one estimate takes, the newest.", low=1, high=10_000)
    runner: bool = _setting(True, "Whether `tally serve` and `tally demo` execute workflows themselves.")
    runner_concurrency: int = _setting(8, "Runs that one runner executes at once, at most.", low=1, high=1_000)
    runner_poll_milliseconds: int = _setting(500, "Pause of an idle runner between two looks.", low=10, high=60_000)
    runner_lease_seconds: int = _setting(30, "Seconds after which a lost runner's run is another's.", low=3, high=3_600)
    runner_call_seconds: int = _setting(120, "Seconds that one call of a node may take, at most.", low=1, high=3_600)
    runner_hold_credits: Decimal = _setting(
        Decimal(1), "Credits set aside for a language model's call while its cost is not known.", low=0, high=10_000
    )
    runner_allowed_hosts: str | None = _setting(
        None, "Hosts, `host:port`, addresses and networks, by commas, that nodes may call though they are private."
    )
    model_base_url: str | None = _setting(
        None, "OpenAI-compatible endpoint of the language models of workflows, such as `https://api.openai.com/v1`."
    )
    model_api_key: str | None = _setting(None, "Its key; it is sent to that endpoint alone.", secret=True)
    simulation_charges_max: int = _setting(
        50_000, "Charges that one simulation takes, at most.", low=1, high=10_000_000
    )
    smtp_url: str | None = _setting(
        None,
        "SMTP server of mails, `smtp://user:password@host:587` (STARTTLS), `smtps://…` or `smtp+plain://…` (no TLS); "
        "without it they stay in the outbox.",
        secret=True,
    )
    mail_from: str = _setting("Tallystick <billing@localhost>", "Sender of mails.")
    support_email: str | None = _setting(None, "Address of the operator's support, named where credits run out.")
    support_url: str | None = _setting(None, "The operator's support page, named where credits run out.")
    delivery_attempts_max: int = _setting(10, "Attempts at a mail or webhook before it is dead.", low=1, high=50)
    webhook_seconds: int = _setting(15, "Seconds that a webhook's receiver may take to answer.", low=1, high=120)
    webhook_endpoints_max: int = _setting(20, "Webhook endpoints of one workspace, at most.", low=1, high=1_000)
    webhook_overlap_hours: int = _setting(
        24, "Hours that a webhook's old secret signs beside the new one after rotation.", low=0, high=720
    )
    webhook_allowed_hosts: str | None = _setting(
        None, "Hosts, `host:port`, addresses and networks, by commas, that webhooks may go to though they are private."
    )
    trial_days: int = _setting(14, "Days of a workspace's one trial of Pro (rule M23).", low=0, high=366)
    trial_notice_days: int = _setting(3, "Days before its end that a trial's owner is told.", low=0, high=90)
    free_workspaces_max: int = _setting(1, "Workspaces one person may own on Free alone (M27).", low=1, high=1_000)
    seller_name: str = _setting("Tallystick", "Legal name of the seller, on invoices.")
    seller_address: str = _setting("", "The seller's address: street; more; postal code; city; region.")
    seller_country: str = _setting("US", "The seller's country, ISO 3166-1 alpha-2.")
    seller_tax_id: str | None = _setting(None, "The seller's tax id with its prefix, such as `DE123456789`.")
    seller_email: str | None = _setting(None, "Address for questions about an invoice.")
    seller_bank: str | None = _setting(None, "Where transfers go: holder; IBAN or account; BIC; bank.")
    seller_logo: Path | None = _setting(None, "PNG or SVG file: the logo on invoices.")
    document_fonts: Path | None = _setting(
        None, "Folder of more fonts (TTF, OTF, TTC) for documents, for scripts that the installed ones lack."
    )
    document_workers: int = _setting(2, "Documents that one server process makes at once, at most.", low=1, high=32)
    document_link_hours: int = _setting(
        24, "Hours that a link to an invoice's PDF is good for whoever has it.", low=1, high=2_160
    )
    invoice_series: str = _setting("INV", "Beginning of an invoice's number; numbers of a series have no gaps.")
    credit_note_series: str = _setting("CN", "Beginning of a credit note's number.")
    invoice_grace_seconds: int = _setting(
        3_600, "Seconds after a period's end that its invoice waits for late usage (M28).", low=3_600, high=864_000
    )
    invoice_due_days: int = _setting(14, "Days to pay an invoice by bank transfer.", low=0, high=365)
    tax_rates: Path | None = _setting(None, "TOML file of tax rates by country in place of the shipped ones.")
    tax_countries: str = _setting(
        "", "Countries, by commas, where the seller is registered beside its own: taxes are charged in those."
    )
    credits_tax_at: Literal["purchase", "use"] = _setting(
        "purchase", "When bought credits are taxed (rule M26); never twice."
    )
    credit_price: Decimal = _setting(
        Decimal("1"), "Price of one bought credit in minor units (cents), a decimal.", low=0, high=1_000_000
    )
    currency: str = _setting("usd", "Currency of bought credits and of accounts that have no invoice yet, ISO 4217.")
    purchase_days: int = _setting(365, "Days until bought credits expire (M13).", low=1, high=36_500)
    purchase_credits_min: int = _setting(100, "Credits in one purchase, at least.", low=1, high=1_000_000)
    purchase_credits_max: int = _setting(1_000_000, "Credits in one purchase, at most.", low=1, high=100_000_000)
    topup_daily_cap: int = _setting(
        100_000, "Credits that automatic top-up may buy a workspace on one UTC day, at most.", low=1, high=100_000_000
    )
    dunning_days: str = _setting("1,3,5,7", "Days after a failed payment on which it is tried again (M24).")
    past_due_days: int = _setting(14, "Days after which runs of who does not pay stop (M24).", low=1, high=365)
    uncollectible_days: int = _setting(90, "Days after which an unpaid invoice is written off.", low=1, high=3_650)
    payment_provider: Literal["offline", "stripe"] = _setting(
        "offline", "Who collects from new accounts: `stripe`, or bank transfers marked by the operator."
    )
    stripe_api_key: str | None = _setting(None, "Secret key of the Stripe account.", secret=True)
    stripe_webhook_secret: str | None = _setting(
        None, "Secret with which Stripe signs webhooks; two, by a comma, while it is rotated.", secret=True
    )
    stripe_publishable_key: str | None = _setting(None, "Stripe's key for browsers.")
    stripe_api_base: str = _setting("https://api.stripe.com", "Address of Stripe's API.")
    portal_seconds: int = _setting(900, "Seconds that a link to our payment page is good.", low=60, high=86_400)
    closed_data_days: int = _setting(
        30, "Days after which personal data of a closed workspace is blanked (M30).", low=0, high=3_650
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least level that is logged.")
    log_format: Literal["text", "json"] = _setting("text", "How a line of the log is written.")
