"""Figures as values, how they are printed, and the file that keeps them."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("tallystick", "psycopg", "msgspec", "litestar", "uvicorn", "uvloop", "genai-prices")


@dataclass(frozen=True)
class Figure:
    """One measured figure against its bar in `quality.md`; `floor` and `goal` are None where there is no bar."""

    bar: str
    name: str
    value: float
    unit: str
    floor: float | None = None
    goal: float | None = None
    smaller_is_better: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.floor is None:
            return ""
        better = (lambda bar: self.value <= bar) if self.smaller_is_better else (lambda bar: self.value >= bar)
        if self.goal is not None and better(self.goal):
            return "goal"
        return "floor" if better(self.floor) else "below floor"

    def line(self) -> str:
        bars = f" (floor {self.floor:g}, goal {self.goal:g}: {self.verdict})" if self.floor is not None else ""
        note = f" [{self.note}]" if self.note else ""
        return f"{self.bar:<4} {self.name}: {self.value:,.4g} {self.unit}{bars}{note}"


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memoryGiB": round(pages / 2**30, 1),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def keep(name: str, figures: list[Figure], **conditions: Any) -> None:
    """Print the figures and write them to `benchmarks/results/<name>.json`."""
    for figure in figures:
        print(figure.line(), flush=True)
    RESULTS.mkdir(exist_ok=True)
    content = {
        "takenAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "conditions": conditions,
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
