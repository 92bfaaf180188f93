"""Agents that never give up: hold, settle, void, extend and let expire, each request until it is answered.

    holding_client.py URL FOLDER SEED

`plan.json` in the folder says how many operations this process does in how many threads, and the workspaces with a
token each. Every answer that was read is a line of `answers.SEED`: what was asked, by which key, and what was said.
Every request that got none is a line of `unanswered.SEED`; it is sent again, with the same key.
"""

import http.client
import json
import random
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NANO = 10**9
UNITS = ("credits", "toolRuns")


def text(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d}"


def whole(amount: Any) -> int:
    return int(Decimal(str(amount)) * NANO)


class Agent(threading.Thread):
    """One of many; what it holds is its own affair, the balances are everybody's."""

    def __init__(self, url: str, plan: dict[str, Any], log: "Log", name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.host = urlsplit(url).netloc
        self.plan, self.log, self.rng = plan, log, random.Random(name)
        self.connection: http.client.HTTPConnection | None = None
        self.left = plan["operations"] // plan["threads"]
        self.open: list[dict[str, Any]] = []
        self.finished: list[tuple[dict[str, str], str, str, dict[str, Any]]] = []
        self.number = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self.left > 0:
                self.step()
        except BaseException as error:  # noqa: BLE001 - told by the process's exit status
            self.failure = error

    def step(self) -> None:
        chance = self.rng.random()
        if chance < 0.02:
            self.give()
        elif chance < 0.06 and self.finished:
            self.repeat()
        elif not self.open or (chance < 0.45 and len(self.open) < 4):
            self.place()
        else:
            hold = self.rng.choice(self.open)
            asked = self.rng.choices(["settle", "part", "void", "extend", "leave"], [10, 4, 3, 3, 2])[0]
            if asked == "leave":
                self.open.remove(hold)
            elif asked == "extend":
                self.extend(hold)
            else:
                self.finish(hold, asked)

    def give(self) -> None:
        """A little money that soon ends, often under somebody's hold."""
        workspace = self.rng.choice(self.plan["workspaces"])
        amount = self.rng.randint(1, 4) * NANO
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.rng.randint(2, 4)))
        body = {
            "workspaceUuid": workspace["uuid"],
            "unit": self.rng.choice(UNITS),
            "amount": text(amount),
            "reason": "a little",
            "expiresAt": ends,
        }
        operator = {"authorization": f"Bearer {self.plan['operator']}"}
        status, _ = self.ask(operator, "/v1/grants", body, refusable=("invalidExpiry",))
        if status < 300:
            self.log.say("grant", workspace["uuid"], body["unit"], amount)

    def place(self) -> None:
        workspace = self.rng.choice(self.plan["workspaces"])
        amounts = {"credits": self.rng.randint(1, 3 * NANO)}
        if self.rng.random() < 0.4:
            amounts["toolRuns"] = self.rng.randint(1, 3) * NANO
        body: dict[str, Any] = {"amounts": {unit: text(amount) for unit, amount in amounts.items()}}
        body |= {"run": f"run {self.rng.randint(0, 500)}", "agent": f"agent {self.rng.randint(0, 5)}"}
        if self.rng.random() < 0.3:
            body["expiresInSeconds"] = self.rng.randint(1, 2)
        headers = {"authorization": f"Bearer {workspace['token']}"}
        key = self.key()
        status, answer = self.ask(headers, "/v1/holds", body, key=key)
        self.log.say("place", workspace["uuid"], key, status, answer.get("hold", {}).get("id"), amounts)
        if status == 402:
            self.never_beyond(answer["reason"] in ("notEnoughCredits", "notEnoughToolRuns", "budgetExceeded"), answer)
            return
        # What was approved was there.
        self.never_beyond(status == 200 or all(row["available"] >= 0 for row in answer["balances"]), answer)
        self.finished.append((headers, "/v1/holds", key, body))
        self.open.append({"id": answer["hold"]["id"], "left": dict(amounts), "headers": headers})

    def finish(self, hold: dict[str, Any], asked: str) -> None:
        """Settle all or a part of it, never more than it has left, or void it."""
        path = f"/v1/holds/{hold['id']}/{'void' if asked == 'void' else 'settle'}"
        key, body, spent = self.key(), None, {}
        if asked != "void":
            spent = {unit: self.rng.randint(0, min(left, NANO // 100)) for unit, left in hold["left"].items()}
            if "toolRuns" in spent:
                spent["toolRuns"] = self.rng.randint(0, min(hold["left"]["toolRuns"], NANO)) // NANO * NANO
            body = self.by_events(key, spent) if self.rng.random() < 0.5 else self.by_amounts(spent)
            body["final"] = asked == "settle"
        status, _ = self.ask(hold["headers"], path, body, key=key, refusable=("holdNotOpen",))
        self.log.say(asked, hold["id"], key, status, spent)
        if status == 409 or asked != "part":
            self.open.remove(hold)
            if status == 200 and body is not None:
                self.finished.append((hold["headers"], path, key, body))
            return
        hold["left"] = {unit: left - spent.get(unit, 0) for unit, left in hold["left"].items()}

    def by_amounts(self, spent: dict[str, int]) -> dict[str, Any]:
        return {"amounts": {unit: text(amount) for unit, amount in spent.items()}}

    def by_events(self, key: str, spent: dict[str, int]) -> dict[str, Any]:
        """One event for each unit; a call of a tool without a price takes tool runs alone."""
        events = []
        for unit, amount in spent.items():
            data: dict[str, Any] = {"quantity": text(amount)}
            data |= {"integration": "soak", "action": "a"} if unit == "toolRuns" else {}
            type_ = "tool.call" if unit == "toolRuns" else "direct.charge"
            events.append({"specversion": "1.0", "id": f"{key} {unit}", "source": "r1", "type": type_, "data": data})
        return {"events": events}

    def extend(self, hold: dict[str, Any]) -> None:
        body = {"expiresInSeconds": self.rng.randint(1, 20)}
        status, answer = self.ask(hold["headers"], f"/v1/holds/{hold['id']}/extend", body, refusable=("holdNotOpen",))
        self.log.say("extend", hold["id"], status, answer["hold"]["expiresAt"] if status == 200 else None)
        if status == 409:
            self.open.remove(hold)

    def repeat(self) -> None:
        """Something that was answered before, once more: the same answer, nothing done."""
        headers, path, key, body = self.rng.choice(self.finished[-50:])
        status, answer = self.ask(headers, path, body, key=key)
        self.log.say("repeat", answer["hold"]["id"], key, status)
        self.never_beyond(status == 200, answer)

    def key(self) -> str:
        self.number += 1
        return f"{self.name}-{self.number}"

    def ask(
        self,
        headers: dict[str, str],
        path: str,
        body: dict[str, Any] | None,
        *,
        key: str | None = None,
        refusable: tuple[str, ...] = (),
    ) -> tuple[int, dict[str, Any]]:
        """Send it until it is answered."""
        self.left -= 1
        given = headers | {"content-type": "application/json", "idempotency-key": key or self.key()}
        content = None if body is None else json.dumps(body)
        while True:
            status, answer = self.send(given, path, content)
            if status == 503:
                self.log.lost(path)
                time.sleep(self.rng.uniform(0.02, 0.3))
                continue
            if status >= 400 and status != 402 and answer.get("reason") not in refusable:
                raise AssertionError(f"{path}: {status} {answer}")
            return status, answer

    def send(self, headers: dict[str, str], path: str, content: str | None) -> tuple[int, dict[str, Any]]:
        """Status 503 also where there was no answer."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, timeout=30)
            self.connection.request("POST", path, content, headers)
            response = self.connection.getresponse()
            said = response.read()
            return response.status, json.loads(said, parse_float=Decimal)
        except (OSError, http.client.HTTPException):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return 503, {}

    def never_beyond(self, is_so: bool, answer: dict[str, Any]) -> None:
        if not is_so:
            raise AssertionError(f"must not be: {answer}")


class Log:
    """What this process was told, line by line, on disk before the next request."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.answers = (folder / f"answers.{seed}").open("a")
        self.unanswered = (folder / f"unanswered.{seed}").open("a")
        self.lock = threading.Lock()

    def say(self, *what: Any) -> None:
        with self.lock:
            print(json.dumps(what), file=self.answers, flush=True)

    def lost(self, path: str) -> None:
        with self.lock:
            print(path, file=self.unanswered, flush=True)


def main(url: str, place: str, seed: str) -> int:
    folder = Path(place)
    plan = json.loads((folder / "plan.json").read_text())
    log = Log(folder, seed)
    agents = [Agent(url, plan, log, f"{seed}.{number}") for number in range(plan["threads"])]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    failures = [agent.failure for agent in agents if agent.failure is not None]
    for failure in failures:
        print(repr(failure), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
