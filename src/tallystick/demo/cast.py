"""Who plays in the demo: an invented company, what it has built on its agent platform, and the people who use it."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

COMPANY: Final = "Lumen & Oak"
SANDBOX: Final = "Lumen & Oak Sandbox"
KEY: Final = "demo"
SANDBOX_KEY: Final = "demo-sandbox"
SOURCE: Final = "demo"

Profile = Literal["code", "conversation"]


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a login to the workspace."""

    email: str
    first_name: str
    last_name: str
    role: Literal["owner", "admin", "member", "viewer"]


OWNER: Final = Member("ines.okafor@lumenoak.example", "Ines", "Okafor", "owner")
ADMIN: Final = Member("tomas.brandt@lumenoak.example", "Tomas", "Brandt", "admin")
MEMBER: Final = Member("priya.nair@lumenoak.example", "Priya", "Nair", "member")
VIEWER: Final = Member("juno.lindqvist@lumenoak.example", "Juno", "Lindqvist", "viewer")
MEMBERS: Final = (OWNER, ADMIN, MEMBER, VIEWER)


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists before any usage: what `PUT /v1/resources/{kind}/{key}` would be told."""

    kind: str
    key: str
    name: str
    description: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """A language model as an event names it; `weight` is its share among an agent's models."""

    name: str
    integration: str
    weight: int
    connector: str


SONNET: Final = Model("claude-sonnet-4-5", "anthropic", 6, "anthropic")
OPUS: Final = Model("claude-opus-4-5", "anthropic", 4, "anthropic")
HAIKU: Final = Model("claude-haiku-4-5", "anthropic", 3, "anthropic")
GPT: Final = Model("gpt-5", "openai", 4, "openai")
GPT_41: Final = Model("gpt-4.1", "openai", 3, "openai")
GPT_MINI: Final = Model("gpt-4o-mini", "openai", 3, "openai")
GEMINI: Final = Model("gemini-2.5-pro", "google", 3, "google")
GEMINI_FLASH: Final = Model("gemini-2.5-flash", "google", 2, "google")
MISTRAL: Final = Model("mistral-large-latest", "mistral", 2, "mistral-own-key")
UNPRICED: Final = Model("oakline-8b", "inhouse", 1, "inhouse")
"""The company's own model: nobody has set a price for it yet (rule M6)."""


@dataclass(frozen=True, slots=True)
class Agent:
    key: str
    name: str
    project: str
    profile: Profile
    models: tuple[Model, ...]
    steps: int
    color: str
    description: str


AGENTS: Final = (
    Agent(
        "sales-researcher",
        "Sales researcher",
        "outbound",
        "conversation",
        (SONNET, GPT, GEMINI, OPUS),
        8,
        "blue",
        "Reads about an account before the first call.",
    ),
    Agent(
        "support-concierge",
        "Support concierge",
        "helpdesk",
        "conversation",
        (SONNET, HAIKU, GPT_41, OPUS),
        6,
        "green",
        "Answers customers in chat, hands over when unsure.",
    ),
    Agent(
        "code-reviewer",
        "Code reviewer",
        "review",
        "code",
        (SONNET, OPUS, GPT),
        12,
        "purple",
        "Comments on every pull request.",
    ),
    Agent(
        "data-janitor",
        "Data janitor",
        "inbound",
        "code",
        (SONNET, GPT_MINI, GEMINI_FLASH, UNPRICED),
        4,
        "grey",
        "Writes the queries that mend records.",
    ),
    Agent(
        "knowledge-writer",
        "Knowledge writer",
        "knowledge",
        "conversation",
        (OPUS, GEMINI, MISTRAL),
        5,
        "yellow",
        "Keeps the help centre up to date.",
    ),
)

TEAMS: Final = {"revenue": "Revenue", "support": "Support", "engineering": "Engineering"}
PROJECTS: Final = {
    "inbound": ("Inbound leads", "revenue"),
    "outbound": ("Outbound", "revenue"),
    "helpdesk": ("Help desk", "support"),
    "knowledge": ("Knowledge base", "support"),
    "review": ("Code review", "engineering"),
}

TABLES: Final = {
    "accounts": "Accounts",
    "contacts": "Contacts",
    "tickets": "Tickets",
    "articles": "Articles",
    "pull_requests": "Pull requests",
}


@dataclass(frozen=True, slots=True)
class Connector:
    """`price` in credits a call, as the operator has set it; None leaves the shipped price of 0."""

    key: str
    name: str
    integration: str
    action: str = ""
    uses_credits: bool = True
    price: str | None = None


CONNECTORS: Final = (
    Connector("openai", "OpenAI", "openai"),
    Connector("anthropic", "Anthropic", "anthropic"),
    Connector("google", "Google AI", "google"),
    Connector("mistral-own-key", "Mistral (our key)", "mistral", uses_credits=False),
    Connector("inhouse", "Oakline inference", "inhouse"),
    Connector("firmographics", "Firmographics", "firmographics", "enrichCompany", price="0.9"),
    Connector("mailfinder", "Mail finder", "mailfinder", "findEmail", price="0.5"),
    Connector("websearch", "Web search", "websearch", "search", price="0.08"),
    Connector("crm", "CRM", "crm", "upsertRecord", uses_credits=False),
    Connector("desk", "Help desk", "desk", "postReply", uses_credits=False),
    Connector("forge", "Code forge", "forge", "comment"),
    Connector("addresses", "Address register", "addresses", "verify", price="0.05"),
)


@dataclass(frozen=True, slots=True)
class Tool:
    key: str
    name: str
    connector: str
    description: str


ADDRESS_CHECK: Final = "address-check"
"""The exhausted tool: its supplier's quota ran out some days before the end, and every call since is an error."""

TOOLS: Final = (
    Tool("enrich-company", "Enrich company", "firmographics", "Size, industry and address of a company."),
    Tool("find-email", "Find work e-mail", "mailfinder", "The work e-mail of a person at a company."),
    Tool("web-research", "Web research", "websearch", "Searches the web and returns the best pages."),
    Tool("save-to-crm", "Save to CRM", "crm", "Creates or updates a record in the CRM."),
    Tool("reply-to-ticket", "Reply to ticket", "desk", "Posts an answer to a support ticket."),
    Tool("comment-on-change", "Comment on change", "forge", "Leaves a comment on a pull request."),
    Tool(ADDRESS_CHECK, "Address check", "addresses", "Verifies a postal address. The supplier's quota is exhausted."),
)

Node = tuple[Literal["filter", "tool", "agent", "store"], str]
"""What a node does and with what: a tool, an agent or a table by key, and nothing for a filter."""


@dataclass(frozen=True, slots=True)
class Play:
    """A workflow that runs by itself, `weight` times as often as others; a scheduled one keeps no office hours."""

    key: str
    name: str
    project: str
    table: str
    weight: int
    nodes: tuple[Node, ...]
    description: str


PLAYS: Final = (
    Play(
        "inbound-routing",
        "Inbound lead routing",
        "inbound",
        "contacts",
        5,
        (("filter", ""), ("tool", "enrich-company"), ("agent", "data-janitor"), ("store", "contacts")),
        "Routes every new lead to the right person.",
    ),
    Play(
        "account-enrichment",
        "Account enrichment",
        "outbound",
        "accounts",
        4,
        (("filter", ""), ("tool", "enrich-company"), ("tool", "web-research"), ("store", "accounts")),
        "Keeps the accounts table fresh.",
    ),
    Play(
        "outbound-sequences",
        "Outbound sequences",
        "outbound",
        "contacts",
        4,
        (("tool", "find-email"), ("agent", "sales-researcher"), ("tool", "save-to-crm"), ("store", "contacts")),
        "Finds people, drafts the first message, files it.",
    ),
    Play(
        "ticket-triage",
        "Ticket triage",
        "helpdesk",
        "tickets",
        6,
        (("filter", ""), ("agent", "support-concierge"), ("tool", "reply-to-ticket"), ("store", "tickets")),
        "Answers what can be answered, labels the rest.",
    ),
    Play(
        "change-review",
        "Pull request review",
        "review",
        "pull_requests",
        6,
        (("filter", ""), ("agent", "code-reviewer"), ("agent", "code-reviewer"), ("tool", "comment-on-change")),
        "Reviews each change twice and comments once.",
    ),
    Play(
        "article-refresh",
        "Article refresh",
        "knowledge",
        "articles",
        2,
        (("filter", ""), ("agent", "knowledge-writer"), ("store", "articles")),
        "Rewrites help articles that tickets contradict.",
    ),
    Play(
        "address-cleanup",
        "Address clean-up",
        "inbound",
        "accounts",
        2,
        (("filter", ""), ("tool", ADDRESS_CHECK), ("store", "accounts")),
        "Verifies the addresses of new accounts.",
    ),
)

_FIRST = (
    *("ada", "ben", "carla", "dev", "elif", "finn", "grace", "hugo", "iris", "jonas"),
    *("kemal", "lea", "milan", "nora", "oskar", "paula", "quinn", "rosa", "samir", "tara"),
)
USERS: Final = tuple(f"{name}@lumenoak.example" for name in _FIRST)
"""The platform's end users; each works in one project."""


def resources() -> list[Made]:
    """Everything that has a name of its own before the first event."""
    made = [Made("team", key, name) for key, name in TEAMS.items()]
    made += [Made("project", key, name, "", {"team": team}) for key, (name, team) in PROJECTS.items()]
    made += [
        Made("table", key, name, "", {"idColumnSlug": "id", "titleColumnSlug": "name"}) for key, name in TABLES.items()
    ]
    made += [
        Made("connector", c.key, c.name, "", {"integrationSlug": c.integration, "useCredits": c.uses_credits})
        for c in CONNECTORS
    ]
    made += [Made("tool", tool.key, tool.name, tool.description) for tool in TOOLS]
    made += [
        Made(
            "play",
            play.key,
            play.name,
            play.description,
            {"changeKinds": ["added", "updated"], "isEnabled": True, "table": play.table},
        )
        for play in PLAYS
    ]
    made += [
        Made(
            "agent",
            agent.key,
            agent.name,
            agent.description,
            {
                "iconColor": agent.color,
                "languageModelSlug": agent.models[0].name,
                "integrationSlug": agent.models[0].integration,
                "maxSteps": agent.steps,
            },
        )
        for agent in AGENTS
    ]
    made += [Made("user", user, user.partition("@")[0].capitalize()) for user in USERS]
    return made
