"""Parts, what configurations take of them, and the error where it is too much."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.config import PART_OF_CONFIG, Config, get_config
from headrace.errors import ConfigError
from headrace.parts import DEFAULT_PART, PARTS, bram36, dsp, ram36, shortage

REPORTS = Path(__file__).parents[2] / "docs" / "reports"


def test_block_rams() -> None:
    # 512 words of 36 bits are half a block RAM, as are 1024 of 18
    assert [ram36(512, 36), ram36(1024, 18), ram36(1024, 36), ram36(512, 37), ram36(1, 1)] == [0.5, 0.5, 1, 1, 0.5]


def test_multipliers() -> None:
    lanes = Config("x", lanes=2, pixels=4)
    assert dsp(lanes, DEFAULT_PART) == 2 * (2 + 1) + 4 + 5
    # 26 bits of sums are two factors on the older part
    wide = replace(lanes, acc_bits=25)
    assert (dsp(wide, DEFAULT_PART), dsp(wide, PARTS["xck26"])) == (19, 15)


@pytest.mark.parametrize("path", sorted(REPORTS.glob("*.json")), ids=lambda path: path.stem)
def test_estimates_are_near_recorded_reports(path: Path) -> None:
    report, config = json.loads(path.read_text()), get_config(path.stem)
    assert dsp(config, PARTS[report["part"]]) == pytest.approx(report["dsp"], rel=0.1, abs=2)
    assert bram36(config) == pytest.approx(report["bram36"], rel=0.1, abs=2)


@pytest.mark.parametrize("name", PART_OF_CONFIG)
def test_boards_hold_their_configurations(name: str) -> None:
    config = get_config(name)
    assert config.part is not None and shortage(config, config.part) is None


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pynq-z1", {"lanes": 28}, "takes about 273 DSPs, the xc7z020 has 220"),
        ("pynq-z2", {"x_words": 4096}, "takes about 307.5 block RAMs of 36 Kbit, the xc7z020 has 140"),
        ("kv260", {"x_words": 2048}, "takes about 195.5 block RAMs of 36 Kbit, the xck26 has 144"),
        ("ultra96v2", {"x_words": 4096}, "block RAMs of 36 Kbit, the xczu3eg has 216"),
        ("zcu104", {"x_words": 2048}, "block RAMs of 36 Kbit, the xczu7ev has 312"),
    ],
)
def test_too_much_for_the_part(name: str, change: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=f"config {name}: .*{message}"):
        replace(get_config(name), **change)
    # of another name it is for no board
    assert replace(get_config(name), name="other", **change).part is None


def test_too_few_ports() -> None:
    config = get_config("pynq-z2")
    assert shortage(config, replace(DEFAULT_PART, read_ports=1)) == "takes about 2 read ports, the xc7z020 has 1"


def test_same_part_same_device() -> None:
    assert get_config("pynq-z1").hash == get_config("pynq-z2").hash
