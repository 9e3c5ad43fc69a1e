#!/usr/bin/env python3
"""Writes docs/verification.md from docs/verification.json, into which the scripts that verify record what they found.

    scripts/verification_report.py [--check | SECTION FILE]

--check: only say whether the page is stale. SECTION FILE: first record what scripts/prove, scripts/nightly or
scripts/coverage printed with --json under `proofs`, `nightly` or `coverage`; with --record they do so themselves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
RECORD, PAGE = DOCS / "verification.json", DOCS / "verification.md"
HEAD = Path(__file__).with_name("verification.md")
"""What no run decides."""


def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def record(section: str, values: dict[str, Any]) -> None:
    """Put `values` under `section` into the record, in place of what was there, and write the page anew."""
    found = recorded()
    found[section] = values
    _replace(RECORD, json.dumps(dict(sorted(found.items())), indent=1, allow_nan=False) + "\n")
    _replace(PAGE, page(found))


def page(found: dict[str, Any]) -> str:
    """HEAD, in which a line `{section}` stands for what was found."""
    text = HEAD.read_text()
    for section, show in SECTIONS.items():
        shown = show(found[section]) if section in found else ["Nothing is recorded."]
        text = text.replace(f"{{{section}}}\n", "\n".join(shown) + "\n")
    return text


def table(columns: list[str], rows: list[list[Any]]) -> list[str]:
    """Markdown; numbers with thousands separated."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def proofs(found: dict[str, Any]) -> list[str]:
    rows: dict[str, list[Any]] = {}
    for proof in found["proofs"]:
        row = rows.setdefault(proof["block"], [f"`{proof['block']}`", proof["properties"], "-", "-", "-", 0.0])
        column = ("bmc", "prove", "cover").index(proof["mode"])
        row[2 + column] = f"{proof['status']} ({proof['depth']})"
        row[5] = round(row[5] + proof["seconds"], 1)
    columns = ["block", "holds", "from the start (cycles)", "for ever (induction)", "reached (cycles)", "s"]
    return table(columns, list(rows.values()))


def nightly(found: dict[str, Any]) -> list[str]:
    configs = found["configs"]
    run = sum(config["layers"] for config in configs)
    networks = sum(config["networks"] for config in configs)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found["kinds"].items()))
    columns = [
        "config",
        "L",
        "P",
        "ports",
        "bytes a lane",
        "acc words",
        "layers",
        "networks",
        "no room",
        "strips",
        "passes",
    ]
    keys = ("config", "lanes", "pixels", "read_ports", "x_bytes", "acc_words", "layers", "networks", "unfit")
    rows = [[config[key] for key in (*keys, "over_lanes", "passes")] for config in configs]
    return [
        f"Seed {found['seed']}: {run:,} random layers and {networks:,} random networks on the RTL,",
        f"{found['stalled']:,} of them with a memory that stalls;",
        f"{len(found['differ'])} differ from the network's integers or from the model device. Kinds: {kinds}.",
        "",
        *table(columns, rows),
        "",
        "No room: networks drawn besides that the configuration cannot hold. Strips: layers cut over the lanes;",
        "passes: layers in several descriptors.",
    ]


def coverage(found: dict[str, Any]) -> list[str]:
    rows = [
        [f"`{block['block']}`", *(f"{block[kind][0]:,} of {block[kind][1]:,}" for kind in ("lines", "toggles"))]
        + [f"{100 * block[kind][0] / max(block[kind][1], 1):.1f}%" for kind in ("lines", "toggles")]
        for block in found["blocks"]
    ]
    return [
        f"Configuration {', '.join(found['configs'])}: {found['layers']:,} random layers, and {found['errors']:,} runs",
        "with an error, each followed by a good one.",
        "",
        *table(["block", "branches run", "bits toggled both ways", "branches", "bits"], rows),
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "proofs": proofs,
    "nightly": nightly,
    "coverage": coverage,
}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def main() -> None:
    match sys.argv[1:]:
        case [section, file] if section in SECTIONS:
            record(section, json.loads(Path(file).read_text()))
            return
        case [] | ["--check"]:
            text = page(recorded())
        case _:
            sys.exit("usage: scripts/verification_report.py [--check | proofs FILE | nightly FILE | coverage FILE]")
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/verification.md is stale: run scripts/verification_report.py")
        return
    _replace(PAGE, text)


if __name__ == "__main__":
    main()
