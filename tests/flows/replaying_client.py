"""A reporter that never gives up: sends every event again and again, in batches that never repeat.

    replaying_client.py URL TOKEN FOLDER SEED

`events.json` in the folder holds waves of events. The number in `wave` says how many of them may be sent, and `stop`
that this process may end, once every event was acknowledged to it. Each acknowledged id is a line of `acked.SEED`,
written when the answer was read; what was refused is a line of `refused.SEED`, and the size of a batch that got no
answer one of `unanswered.SEED`.
"""

import datetime as dt
import http.client
import json
import random
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def main(url: str, token: str, place: str, seed: str) -> None:
    folder, rng = Path(place), random.Random(seed)
    waves: list[list[dict[str, Any]]] = json.loads((folder / "events.json").read_text())
    acked: set[str] = set()
    with (folder / f"acked.{seed}").open("a") as said, (folder / f"refused.{seed}").open("a") as refused:
        while True:
            stopping = (folder / "stop").exists()
            released = int((folder / "wave").read_text())
            due = [event for wave in waves[:released] for event in wave]
            fresh = [event for event in due if event["id"] not in acked]
            if stopping and not fresh:
                return
            batch = rng.sample(fresh, min(len(fresh), rng.randint(1, 40)))
            old = [event for event in due if event["id"] in acked]
            batch += rng.sample(old, min(len(old), rng.randint(0, 10)))
            rng.shuffle(batch)
            answer = send(url, token, [event | {"time": some_time(rng)} for event in batch])
            if answer is None:
                with (folder / f"unanswered.{seed}").open("a") as lost:
                    print(len(batch), file=lost)
                time.sleep(rng.uniform(0.02, 0.2))
                continue
            left = {row["index"] for row in answer.get("retry", [])}
            for row in (*answer["rejected"], *answer["conflicts"]):
                left.add(row["index"])
                print(json.dumps(row), file=refused, flush=True)
            for index, event in enumerate(batch):
                if index not in left and event["id"] not in acked:
                    acked.add(event["id"])
                    print(event["id"], file=said, flush=True)


def some_time(rng: random.Random) -> str:
    """Another instant each time: the time is no part of an event's identity."""
    return dt.datetime.fromtimestamp(time.time() + rng.uniform(0, 120), dt.UTC).isoformat()


def send(url: str, token: str, events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What the server answered; None when it did not, or asked to come again."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/cloudevents-batch+json"}
        connection.request("POST", "/v1/events", json.dumps(events), headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if response.status == 200:
        answer: dict[str, Any] = json.loads(body)
        return answer
    if response.status == 503:
        return None
    raise SystemExit(f"{response.status}: {body[:500]!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
