"""Errors on HTTP: which status a code has, and the one shape in which every error is answered."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tallystick.kernel.errors import TallystickError
from tallystick.wire.amounts import encode

_STATUSES: Final[Mapping[int, tuple[str, ...]]] = {
    400: (
        "amountTooLarge",
        "clientGone",
        "invalidAmount",
        "invalidAttributes",
        "invalidBillingDetails",
        "invalidCounters",
        "invalidData",
        "invalidDate",
        "invalidDeployment",
        "invalidEncoding",
        "invalidEvent",
        "invalidExpiry",
        "invalidGroupBy",
        "invalidHeader",
        "invalidIdempotencyKey",
        "invalidKey",
        "invalidLimits",
        "invalidLocale",
        "invalidMeter",
        "invalidPeriod",
        "invalidPlan",
        "invalidPrice",
        "invalidPriority",
        "invalidProfile",
        "invalidQuantity",
        "invalidRange",
        "invalidRequest",
        "invalidScope",
        "invalidSignature",
        "invalidSource",
        "invalidStatement",
        "invalidTaxId",
        "invalidText",
        "invalidTime",
        "invalidUnit",
        "invalidUrl",
        "invalidUuid",
        "invalidWebhook",
        "invalidZone",
        "malformedJson",
        "nodesNotFound",
        "playNotCompatible",
        "rangeTooLong",
        "rootNodeNotFound",
        "timeInFuture",
        "timeTooOld",
        "tooManyBudgets",
        "tooManyCharges",
        "tooManyDeployments",
        "tooManyEvents",
        "tooManyResources",
        "tooManyWebhooks",
        "unknownFactKind",
        "unknownKind",
        "unknownLanguageModel",
        "unknownMeter",
        "unknownPermission",
        "unknownType",
        "workspaceRequired",
    ),
    401: ("unauthorized",),
    402: (
        "budgetExceeded",
        "deploymentsDisabled",
        "negativeLimitReached",
        "notEnoughCredits",
        "notEnoughToolRuns",
        "pastDue",
        "paymentMethodRefused",
        "runQuotaReached",
        "subscriptionPaused",
        "trialEnded",
        "workspaceLimitReached",
    ),
    403: (
        "forbidden",
        "ownerRequired",
        "rightsExceeded",
    ),
    404: (
        "bankTransactionNotFound",
        "bannerNotFound",
        "batchNotFound",
        "budgetNotFound",
        "deploymentNotFound",
        "eventNotFound",
        "fineTuningJobNotFound",
        "grantNotFound",
        "holdNotFound",
        "invalidLink",
        "invoiceNotFound",
        "mailNotFound",
        "memberNotFound",
        "nodeNotFound",
        "notFound",
        "paymentMethodNotFound",
        "paymentNotFound",
        "planNotFound",
        "profileNotFound",
        "purchaseNotFound",
        "resourceNotFound",
        "runNotFound",
        "subscriptionNotFound",
        "tokenNotFound",
        "webhookDeliveryNotFound",
        "webhookNotFound",
        "workflowNotFound",
        "workspaceNotFound",
    ),
    405: ("methodNotAllowed",),
    409: (
        "adjustmentTooLarge",
        "alreadyCorrected",
        "balanceOutOfRange",
        "bankTransactionMatched",
        "bannerNotRemovable",
        "clockMovesForward",
        "creditExceedsInvoice",
        "currencyMismatch",
        "electronicInvoiceUnavailable",
        "executionNotOpen",
        "failedToCreateSetupIntent",
        "fineTuningJobNotRunning",
        "grantEnded",
        "holdNotOpen",
        "idempotencyConflict",
        "invalidTransition",
        "invoiceCustomNotAllowed",
        "invoiceNotIssued",
        "invoiceNotOpen",
        "lastOwner",
        "lastPlanVersion",
        "leaseLost",
        "mailAlreadySent",
        "mailServerMissing",
        "memberAlreadyExists",
        "meterExists",
        "noTestClock",
        "nothingToRefund",
        "paymentNotRefundable",
        "paymentTooLarge",
        "paymentUnderWay",
        "priceVersionExists",
        "profileKindConflict",
        "purchaseInFlight",
        "purchaseNotOpen",
        "refundTooLarge",
        "resourceKindConflict",
        "runNotOpen",
        "subscriptionAlreadyInUpdateState",
        "subscriptionNotElligible",
        "subscriptionNotEnterprise",
        "trialUsed",
        "webhookDisabled",
        "workspaceKeyTaken",
    ),
    410: ("linkExpired",),
    413: ("bodyTooLarge",),
    415: ("unsupportedMediaType",),
    429: ("concurrencyLimitReached",),
    500: ("internalError",),
    503: (
        "busy",
        "databaseUnavailable",
        "paymentProviderMisconfigured",
        "paymentProviderUnavailable",
    ),
}

STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {code: status for status, codes in _STATUSES.items() for code in codes}
)
"""The HTTP status of every code that a request may be answered with."""

BARE: Final = frozenset({"unauthorized", "forbidden"})
"""Answered with the message alone: other people's clients compare these bodies as they are."""


def status_of(code: str) -> int:
    """The status of a code; 500 for one that is in no list, since it was never meant for a request."""
    return STATUS.get(code, 500)


def body_of(error: TallystickError) -> bytes:
    """The JSON body: message, reason and details, or the message alone for a code that is `BARE`."""
    if error.code in BARE:
        return encode({"errorMessage": error.code})
    shown: dict[str, object] = {"errorMessage": error.message, "reason": error.code, "details": dict(error.details)}
    try:
        return encode(shown)
    except (TypeError, ValueError, NotImplementedError):
        # Details may hold what the caller sent, such as a lone surrogate; the error itself must still get through.
        return encode(shown | {"details": {name: ascii(value) for name, value in error.details.items()}})


def headers_of(error: TallystickError) -> dict[str, str]:
    """Headers that belong to a code."""
    if error.code == "unauthorized":
        return {"WWW-Authenticate": "Bearer"}
    if status_of(error.code) == 503:
        return {"Retry-After": "1"}
    return {}
