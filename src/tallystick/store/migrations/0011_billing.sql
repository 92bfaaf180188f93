-- What is owed and what was paid: contracts, life cycle, accounts, invoices, payments, purchases, the money side of credits.

-- A version of one workspace alone is its contract. overage_price is in 10^-9 minor units a credit; trial_days is how long
-- it may be tried once, null where the installation says so; no new customer comes to a retired version.
ALTER TABLE plan_version ADD COLUMN workspace_id uuid;

ALTER TABLE plan_version ADD COLUMN overage_price bigint;

ALTER TABLE plan_version ADD COLUMN trial_days integer;

ALTER TABLE plan_version ADD COLUMN retired_at timestamptz;

-- pending_* is what was asked for the end of the period, revocable until then: another version, or with none the end.
-- overage_cap is in nano-credits a period (rule M12), null where the contract names no end. trial_notice_at is when its
-- owner is told that the trial ends, null once that was; resumes_to is the state that a pause or a debt interrupted, null
-- where a trial ended unpaid. Another anchor or cadence is another row, so that what was its calendar stays known.
ALTER TABLE subscription ADD COLUMN trial_ends_at timestamptz;

ALTER TABLE subscription ADD COLUMN trial_notice_at timestamptz;

ALTER TABLE subscription ADD COLUMN resumes_to text CHECK (resumes_to IN ('trialing', 'active'));

ALTER TABLE subscription ADD COLUMN pending_plan_version_id uuid;

ALTER TABLE subscription ADD COLUMN pending_kind text CHECK (
    pending_kind IN ('downgrade', 'cancel', 'migration')
);

ALTER TABLE subscription ADD COLUMN pending_at timestamptz;

ALTER TABLE subscription ADD COLUMN overage_cap bigint;

ALTER TABLE subscription ADD COLUMN past_due_since timestamptz;

-- An idle period began while nothing was paid for: it costs nothing and includes nothing. overage_invoiced is what of its
-- overage was invoiced before its end, in nano-credits: the cap counts it.
ALTER TABLE billing_period ADD COLUMN is_idle boolean NOT NULL DEFAULT false;

ALTER TABLE billing_period ADD COLUMN overage_invoiced bigint NOT NULL DEFAULT 0;

-- When personal data of a closed workspace was blanked (rule M30).
ALTER TABLE workspace ADD COLUMN blanked_at timestamptz;

-- Usage that comes well after its time: what an invoice of a later period names as an adjustment. An invoice is issued an
-- hour after its period's end at the earliest and lists what was booked until some minutes before that.
CREATE INDEX usage_event_late ON usage_event (workspace_id, id) WHERE received_at - used_at >= interval '45 minutes';

-- What was used beyond all grants and is invoiced (rule M12).
ALTER TABLE credit_grant DROP CONSTRAINT credit_grant_source_check;

ALTER TABLE credit_grant ADD CONSTRAINT credit_grant_source_check
    CHECK (source IN ('free', 'plan', 'purchase', 'promotion', 'adjustment', 'history', 'overage'));

ALTER TABLE ledger_transaction DROP CONSTRAINT ledger_transaction_kind_check;

ALTER TABLE ledger_transaction ADD CONSTRAINT ledger_transaction_kind_check
    CHECK (kind IN ('grant', 'usage', 'expiry', 'reset', 'adjustment', 'overage'));

-- tenant: who pays, and how. currency is fixed by the first invoice (rule M28), method is what is on file: id, kind, brand,
-- last4, expMonth, expYear; trial_used_at says that the one trial was had (rule M23). topup_* is automatic top-up
CREATE TABLE billing_account (
    workspace_id uuid PRIMARY KEY,
    legal_name text NOT NULL DEFAULT '',
    email text,
    address jsonb NOT NULL DEFAULT '{}',
    country text,
    tax_id text,
    purchase_order text,
    locale text NOT NULL DEFAULT 'en',
    currency text,
    provider text NOT NULL DEFAULT 'offline' CHECK (provider IN ('offline', 'stripe')),
    customer_ref text,
    method jsonb,
    method_at timestamptz,
    trial_used_at timestamptz,
    topup_state text NOT NULL DEFAULT 'off' CHECK (topup_state IN ('off', 'on', 'stopped')),
    topup_credits bigint,
    topup_threshold bigint,
    topup_daily_cap bigint,
    topup_error text,
    updated_at timestamptz NOT NULL
);

CREATE UNIQUE INDEX billing_account_customer ON billing_account (provider, customer_ref, workspace_id)
    WHERE customer_ref IS NOT NULL;

-- What automatic top-up watches.
CREATE INDEX billing_account_top_up ON billing_account (workspace_id) WHERE topup_state <> 'off';

-- local: gap-free: the row is locked from the moment a number is taken to the end of the transaction that issues
CREATE TABLE invoice_series (
    series text PRIMARY KEY,
    next_number bigint NOT NULL
);

-- tenant: an invoice or a credit note; amounts in minor units. Once issued only its payment changes: status, paid, credited,
-- attempts and the times. next_at is when something is to be done with it: issuing a draft, collecting an open one.
-- charged_through: every charge of the workspace up to this id and used before period_end is on this invoice or an
-- earlier one, none other is. number is null until it is issued; seller and buyer are as they were then
CREATE TABLE invoice (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    purpose text NOT NULL CHECK (purpose IN ('period', 'change', 'purchase', 'custom', 'closing', 'correction')),
    status text NOT NULL CHECK (status IN ('draft', 'issued', 'paid', 'past_due', 'void', 'uncollectible')),
    series text,
    number text,
    currency text NOT NULL,
    period_start timestamptz,
    period_end timestamptz,
    subscription_id uuid,
    issued_at timestamptz,
    due_at timestamptz,
    paid_at timestamptz,
    closed_at timestamptz,
    net_minor bigint NOT NULL DEFAULT 0,
    tax_minor bigint NOT NULL DEFAULT 0,
    total_minor bigint NOT NULL DEFAULT 0,
    paid_minor bigint NOT NULL DEFAULT 0,
    credited_minor bigint NOT NULL DEFAULT 0,
    taxes jsonb NOT NULL DEFAULT '[]',
    seller jsonb NOT NULL DEFAULT '{}',
    buyer jsonb NOT NULL DEFAULT '{}',
    corrects uuid,
    reason text NOT NULL DEFAULT '',
    charged_through uuid,
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE UNIQUE INDEX invoice_number ON invoice (workspace_id, number) WHERE number IS NOT NULL;

-- A period is closed once.
CREATE UNIQUE INDEX invoice_period ON invoice (workspace_id, period_start) WHERE purpose = 'period';

CREATE INDEX invoice_next ON invoice (next_at) WHERE next_at IS NOT NULL;

-- tenant: kind says what it is for. unit_price is in minor units with up to nine decimals; amount_minor is net of tax. credits is what usage
-- came to, in nano-credits, at no money where credits paid for it. details: planVersionId, category, grantId …
CREATE TABLE invoice_line (
    workspace_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL CHECK (
        kind IN ('plan', 'proration', 'usage', 'adjustment', 'overage', 'credits', 'custom', 'refund')
    ),
    description text NOT NULL,
    quantity numeric NOT NULL,
    unit text NOT NULL,
    unit_price numeric NOT NULL,
    amount_minor bigint NOT NULL,
    tax_category text NOT NULL,
    tax_rate_ppm integer NOT NULL,
    credits bigint,
    period_start timestamptz,
    period_end timestamptz,
    details jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, invoice_id, position)
);

-- tenant: the usage behind the usage lines: what the appendix lists, and what verify compares with the charges. agent_id is
-- the nil UUID where there is none
CREATE TABLE invoice_usage (
    workspace_id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    period_start timestamptz NOT NULL,
    category text NOT NULL,
    agent_id uuid NOT NULL,
    events bigint NOT NULL,
    quantity numeric NOT NULL,
    credits bigint NOT NULL,
    tool_runs bigint NOT NULL,
    PRIMARY KEY (workspace_id, invoice_id, period_start, category, agent_id)
);

-- tenant: one attempt at getting money, or money that came; key is what the provider knows it by, so that asking again is
-- never a second charge. A `created` one was perhaps asked for and perhaps not. next_at: look again then
CREATE TABLE payment (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    invoice_id uuid,
    provider text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('invoice', 'purchase', 'topup')),
    key text NOT NULL,
    ref text,
    status text NOT NULL CHECK (
        status IN ('created', 'processing', 'action_required', 'succeeded', 'failed', 'canceled')
    ),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    refunded_minor bigint NOT NULL DEFAULT 0,
    disputed_minor bigint NOT NULL DEFAULT 0,
    currency text NOT NULL,
    method jsonb,
    error_code text,
    error_message text,
    action_url text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    next_at timestamptz,
    received_on date,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, key)
);

CREATE INDEX payment_ref ON payment (provider, ref) WHERE ref IS NOT NULL;

CREATE INDEX payment_invoice ON payment (workspace_id, invoice_id);

CREATE INDEX payment_next ON payment (next_at) WHERE next_at IS NOT NULL;

-- tenant: money being given back, written down before the provider is asked, whose key is `id`. A `created` one counts as
-- given back, since perhaps it was
CREATE TABLE payment_refund (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    payment_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('created', 'succeeded', 'failed')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    reason text NOT NULL,
    ref text,
    error_message text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX payment_refund_payment ON payment_refund (workspace_id, payment_id);

-- reference: what a provider told us, once each; workspace_id is null where it concerns none of ours
CREATE TABLE provider_event (
    provider text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    workspace_id uuid,
    outcome text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, id)
);

-- reference: a line of a bank statement, known by its content; matched to an invoice, by hand where it names none
CREATE TABLE bank_transaction (
    id text PRIMARY KEY,
    booked_on date NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    reference text NOT NULL,
    counterparty text NOT NULL DEFAULT '',
    bank_ref text NOT NULL DEFAULT '',
    workspace_id uuid,
    invoice_id uuid,
    payment_id uuid,
    note text NOT NULL DEFAULT '',
    imported_at timestamptz NOT NULL
);

CREATE INDEX bank_transaction_payment ON bank_transaction (payment_id) WHERE payment_id IS NOT NULL;

-- tenant: credits being bought; granted when they are paid (rule M26). unit_price in minor units a credit, of that day's
-- list; day is the UTC day that the cap of automatic top-up counts by. taken, refunded_minor and refunded_tax_minor are what
-- was given back for credits not used. recognised_* is how far the money side has followed the grant: nano-credits used and
-- expired by the ledger's transactions of credits up to recognised_seq. With tax_at `use` taxed_minor of what was used was on
-- a period's invoice
CREATE TABLE credit_purchase (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    is_automatic boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'paid', 'failed', 'refunded', 'charged_back')),
    credits bigint NOT NULL CHECK (credits > 0),
    price_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    currency text NOT NULL,
    unit_price numeric NOT NULL,
    tax_at text NOT NULL DEFAULT 'purchase' CHECK (tax_at IN ('purchase', 'use')),
    day date NOT NULL,
    invoice_id uuid,
    payment_id uuid,
    grant_id uuid,
    expires_days integer NOT NULL,
    taken bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    refunded_tax_minor bigint NOT NULL DEFAULT 0,
    taxed_minor bigint NOT NULL DEFAULT 0,
    recognised_seq bigint NOT NULL DEFAULT 0,
    recognised_used bigint NOT NULL DEFAULT 0,
    recognised_expired bigint NOT NULL DEFAULT 0,
    error text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX credit_purchase_invoice ON credit_purchase (workspace_id, invoice_id);

-- Only one automatic top-up is on its way.
CREATE UNIQUE INDEX credit_purchase_in_flight ON credit_purchase (workspace_id)
    WHERE is_automatic AND status = 'pending';

-- tenant: append-only: the money side of bought credits (rule M26); entries of one `transaction_id` sum to 0. Accounts:
-- cash, receivable, deferred, revenue, breakage, tax, refunds
CREATE TABLE money_entry (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL,
    transaction_id uuid NOT NULL,
    at timestamptz NOT NULL,
    account text NOT NULL CHECK (
        account IN ('cash', 'receivable', 'deferred', 'revenue', 'breakage', 'tax', 'refunds')
    ),
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    purchase_id uuid,
    cause text NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE INDEX money_entry_at ON money_entry (at);

CREATE INDEX money_entry_purchase ON money_entry (workspace_id, purchase_id);

-- local: what signs links to our own pages, made at the first start; the older ones still check
CREATE TABLE signing_key (
    id uuid PRIMARY KEY,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
