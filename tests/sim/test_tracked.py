"""Resources and cycles do not grow unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.config import get_config
from headrace_sim.tracked import RESOURCES, WORKLOADS, baseline, excesses, measure

DOCS = Path(__file__).parents[2] / "docs"
BASELINE = json.loads((DOCS / "baseline.json").read_text())


def test_reports_keep_to_the_baseline() -> None:
    reports = {path.stem: json.loads(path.read_text()) for path in (DOCS / "reports").glob("*.json")}
    assert set(reports) == set(BASELINE["resources"]) >= {"demo"}
    assert excesses(baseline({}, reports), BASELINE) == []


def test_reports_are_of_their_configurations() -> None:
    for path in (DOCS / "reports").glob("*.json"):
        report, config = json.loads(path.read_text()), get_config(path.stem)
        assert (report["config"], report["config_hash"]) == (config.name, f"{config.hash:08x}"), (
            f"headrace synth {path.stem} --record renews the report"
        )


def test_every_workload_has_a_baseline_and_a_reason() -> None:
    assert list(BASELINE["cycles"]) == list(WORKLOADS)
    assert BASELINE["reasons"] and all(BASELINE["reasons"])


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_cycles_keep_to_the_baseline(name: str) -> None:
    assert excesses({"resources": {}, "cycles": {name: measure(name)}}, BASELINE) == []


def test_excesses() -> None:
    report = dict.fromkeys(RESOURCES, 100) | {"fmax_mhz": 1.0}
    before = baseline({"a": 1000}, {"demo": report})
    assert before == {"resources": {"demo": dict.fromkeys(RESOURCES, 100)}, "cycles": {"a": 1000}}
    assert excesses(baseline({"a": 1020}, {"demo": report | {"lut": 102}}), before) == []
    found = excesses(baseline({"a": 1021, "b": 5}, {"demo": report | {"dsp": 103}, "tiny": report}), before)
    assert [line.split(";")[0] for line in found] == [
        "config demo, dsp: 103 is 3.0% more than the baseline's 100",
        *(f"config tiny, {kind}: 100 is not in the baseline" for kind in RESOURCES),
        "cycles of a: 1,021 is 2.1% more than the baseline's 1,000",
        "cycles of b: 5 is not in the baseline",
    ]
    assert all("scripts/baseline --reason" in line for line in found)
