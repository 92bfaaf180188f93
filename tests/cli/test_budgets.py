"""`tally billing budgets` and `tally billing gate` as processes."""

from tests.cli.conftest import Shell

BUDGETS = ("billing", "budgets")


def test_a_budget_is_made_shown_changed_and_ended(tally: Shell) -> None:
    terms = ("--name", "Runaway runs", "--scope", "workspace", "--per", "run", "--amount", "0.000000001")
    again = [tally(*BUDGETS, "create", *terms, "--idempotency-key", "k1") for _ in range(2)]
    assert [done.status for done in again] == [0, 0]
    made = again[0].answer["budget"]
    assert again[1].answer["budget"] == made
    # Digit by digit on the way back, too.
    assert '"amount": 1e-9' not in again[0].stdout.lower()
    assert (made["amount"], made["spent"], made["subject"]) == (1e-9, None, None)
    assert tally(*BUDGETS, "list").answer == {"budgets": [made]}
    assert tally(*BUDGETS, "get", made["uuid"]).answer == {"budget": made}
    changed = tally(*BUDGETS, "change", made["uuid"], "--amount", "25", "--name", "Runs")
    assert changed.answer["budget"] == made | {"amount": 25, "name": "Runs"}
    table = tally(*BUDGETS, "list", "--format", "table")
    assert [line.split()[0] for line in table.stdout.splitlines() if line.strip()][::2] == ["name", "Runs"]
    assert tally(*BUDGETS, "delete", made["uuid"]).status == 0
    assert tally(*BUDGETS, "list").answer == {"budgets": []}
    gone = tally(*BUDGETS, "get", made["uuid"])
    assert (gone.status, gone.answer["reason"]) == (1, "budgetNotFound")


def test_the_gate_answers_and_ends_with_3_when_it_refuses(tally: Shell) -> None:
    yes = tally("billing", "gate", "--action", "run", "--amount", "75", "--agent", "writer", "--run", "r1")
    assert (yes.status, yes.answer["allowed"]) == (0, True)
    no = tally("billing", "gate", "--action", "run", "--amount", "75.5")
    assert (no.status, no.answer["reason"], no.stderr) == (3, "notEnoughCredits", "")
    assert (no.answer["details"]["needed"], no.answer["details"]["available"]) == (75.5, 75)
    drawn = tally("billing", "gate", "--action", "tool", "--format", "table")
    assert ["remaining", "toolRuns", "10000"] in [line.split() for line in drawn.stdout.splitlines()]
    wrong = tally("billing", "gate", "--action", "fly")
    assert (wrong.status, wrong.answer["reason"]) == (1, "invalidRequest")
    made = tally(*BUDGETS, "create", "--name", "Cap", "--scope", "apiKey", "--subject", "k", "--per=day", "--amount=0")
    assert made.status == 0
    capped = tally("billing", "gate", "--action", "run", "--api-key", "k")
    assert (capped.status, capped.answer["details"]["blocking"]["name"]) == (3, "Cap")
