"""scripts/nightly, scripts/coverage and the page they write, with the model in place of the RTL."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.errors import ConfigError
from random_configs import config_named, random_config
from random_layers import CONFIGS, MismatchError, Tally, cases, check
from script_modules import script_module


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Without builds: only the model runs; what is recorded is in `recorded`."""
    module = script_module("nightly")
    module.recorded = []
    monkeypatch.setattr(module, "library", lambda config: None)
    monkeypatch.setattr(module, "record_section", lambda section, found: module.recorded.append((section, found)))
    return module


def run(module: ModuleType, *arguments: str) -> Any:
    return CliRunner().invoke(module.main, arguments)


def test_as_many_as_asked_for_run_and_are_recorded(nightly: ModuleType) -> None:
    done = run(nightly, "--layers", "14", "--networks", "7", "--configs", "1", "--record", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert nightly.recorded == [("nightly", found)]
    assert [config["config"] for config in found["configs"]] == [*CONFIGS, "s0c0"]
    assert all((config["layers"], config["networks"]) == (2, 1) for config in found["configs"])
    assert sum(found["kinds"].values()) == 21 and found["differ"] == [] and 0 < found["stalled"] < 21


def test_a_case_that_differs_is_named_and_the_others_run(nightly: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(one: Any, config: Any, library: Any, tally: Tally) -> None:
        if config.name == "r2x8":
            raise MismatchError("3 of 5 differ")
        tally.equal += 1

    monkeypatch.setattr(nightly, "check", wrong)
    done = run(nightly, "--layers", "12", "--networks", "0", "--configs", "0", "--seed", "4")
    assert done.exit_code == 1 and "12" not in done.stderr
    for number in (0, 1):
        repeat = f"scripts/random_layers --seed 4 --config r2x8 --layers 1 --networks 0 --first {number}"
        assert f"{repeat}\n  3 of 5 differ" in done.stderr
    assert "2 differ" in done.stdout


def test_an_interrupt_shows_what_was_done(nightly: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(3))

    def interrupted(one: Any, config: Any, library: Any, tally: Tally) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(nightly, "check", interrupted)
    done = run(nightly, "--layers", "12", "--configs", "0", "--record", "--json")
    assert done.exit_code == 130 and not nightly.recorded
    assert sum(config["layers"] for config in json.loads(done.stdout)["configs"]) == 2


def test_random_configurations() -> None:
    """Valid, always the same, and different: several values of every size."""
    configs = [random_config(2, number) for number in range(40)]
    assert configs == [config_named(config.name) for config in configs]
    for name in ("lanes", "pixels", "x_words", "acc_words", "acc_bits", "symbols", "code_tables", "taps", "masks"):
        assert len({getattr(config, name) for config in configs}) >= 2, name
    for name in ("channels", "fifo_beats", "burst_beats", "read_ports"):
        assert len({getattr(config, name) for config in configs}) >= 2, name
    assert config_named("r4x4") is CONFIGS["r4x4"]
    with pytest.raises(ConfigError, match="no config 'x'"):
        config_named("x")


def test_layers_on_random_configurations() -> None:
    tally = Tally()
    for number in range(6):
        config = random_config(1, number)
        for one in cases(config, 1, 8, 0):
            check(one, config, None, tally)
    assert tally.equal + tally.unfit == 48 and tally.equal > 24


DATA = """# SystemC::Coverage-3
C '\x01l\x0291\x01n\x025\x01t\x02branch\x01page\x02v\x01o\x02if\x01h\x02TOP.headrace.lanes.lane_1' 0
C '\x01l\x0291\x01n\x026\x01t\x02branch\x01page\x02v\x01o\x02else\x01h\x02TOP.headrace.lanes.lane_1' 7
C '\x01l\x0211\x01n\x021\x01t\x02toggle\x01page\x02v\x01o\x02a[0]:0->1\x01h\x02TOP.headrace.lanes.lane_0' 2
C '\x01l\x0211\x01n\x021\x01t\x02toggle\x01page\x02v\x01o\x02a[0]:1->0\x01h\x02TOP.headrace.lanes.lane_0' 0
C '\x01l\x0211\x01n\x021\x01t\x02toggle\x01page\x02v\x01o\x02a[1]:0->1\x01h\x02TOP.headrace.lanes.lane_0' 2
C '\x01l\x0211\x01n\x021\x01t\x02toggle\x01page\x02v\x01o\x02a[1]:1->0\x01h\x02TOP.headrace.lanes.lane_0' 1
"""


def test_coverage_figures(tmp_path: Path) -> None:
    coverage = script_module("coverage")
    first, second = tmp_path / "a", tmp_path / "b"
    verilog = "\n" * 90 + "if (x) begin\nif (\\$auto$verilog_backend.cc:1 ) begin end"
    never = DATA.splitlines()[1].replace("\x0291", "\x0292")
    unnamed = DATA.splitlines()[3].replace("a[0]", "__0245[0]")
    first.write_text(f"{DATA}{never}\n{unnamed}\n")
    second.write_text(DATA.replace("' 0", "' 3", 1))
    blocks, missing = coverage.figures(*coverage.read([first], verilog))
    assert blocks == [{"block": "lanes.lane", "lines": [1, 2], "toggles": [1, 2]}]
    assert missing == {"lanes.lane": ["headrace.lanes.lane_1: line 91.5 if", "headrace.lanes.lane_0: a[0]"]}
    blocks, _ = coverage.figures(*coverage.read([first, second], verilog))
    assert blocks[0]["lines"] == [2, 2]
    assert coverage.block_of("headrace") == "top" and coverage.block_of("headrace.reads.fetcher_0.fifo1") == (
        "reads.fetcher.fifo"
    )


def test_what_was_printed_can_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = script_module("verification_report.py")
    for name in ("RECORD", "PAGE"):
        monkeypatch.setattr(report, name, tmp_path / name)
    (tmp_path / "a.json").write_text(
        '{"configs": ["two ports"], "layers": 5, "errors": 7, "blocks":'
        ' [{"block": "lanes", "lines": [1, 2], "toggles": [3, 4]}]}'
    )
    monkeypatch.setattr(report.sys, "argv", ["report", "coverage", str(tmp_path / "a.json")])
    report.main()
    assert "| `lanes` | 1 of 2 | 3 of 4 | 50.0% | 75.0% |" in (tmp_path / "PAGE").read_text()
    monkeypatch.setattr(report.sys, "argv", ["report", "--check"])
    report.main()
    (tmp_path / "PAGE").write_text("old")
    with pytest.raises(SystemExit, match="stale"):
        report.main()


def test_the_page_says_what_is_not_recorded() -> None:
    report = script_module("verification_report.py")
    text = report.page({})
    assert text.count("Nothing is recorded.") == 3 and "{" not in text
