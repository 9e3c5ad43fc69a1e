"""headrace report: its page is read back by a parser that forgives nothing, and compared with `inspect --json`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.cli.reporting.figures import figures
from headrace.codecs import CODECS

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)> &amp; {{ 7 * 7 }} {% raw %}",
    "$\\frac{ </td>" + "long" * 200,
)
UNPRINTABLE = "\x00\x1b[31m\ud800\u202e\n"
"""The loader takes none in names; notes and the accuracy's file may hold them."""
TABLES = ("layers", "coding", "cycles", "roofline")


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def page(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_bytes())


def table(root: ElementTree.Element, name: str) -> list[list[str]]:
    """Text of the cells of the body, row by row."""
    (found,) = [one for one in root.iter("table") if one.get("id") == name]
    body = found.find("tbody")
    assert body is not None
    return [["".join(cell.itertext()) for cell in row] for row in body]


def inspected(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(CliRunner().invoke(main, ["inspect", str(path), "--json"]).stdout)
    return values


def test_numbers_are_those_of_inspect(artifact: Path, tmp_path: Path) -> None:
    run = report(artifact, "-o", tmp_path / "r.html")
    assert (run.exit_code, run.stderr) == (0, "") and run.stdout == f"{tmp_path / 'r.html'}: 3 layers of small.hrz\n"
    root, values = page(tmp_path / "r.html"), inspected(artifact)
    tables = {name: table(root, name) for name in TABLES}
    for number, layer in enumerate(values["layers"]):
        estimated = layer["estimate"]
        assert tables["layers"][number] == [
            *(layer["name"], layer["kind"], *("x".join(map(str, layer[f"{end}put_shape"])) for end in ("in", "out"))),
            *(f"{layer[key]:,}" for key in ("rows", "positions", "nonzeros")),
            *(f"{layer['density']:.4f}", f"{layer['macs']:,}"),
        ]
        assert tables["coding"][number] == [
            *(layer["name"], f"{layer['stream_bytes']:,}", f"{layer['table_bytes']:,}"),
            *(f"{layer['coding'][key]:,}" for key in ("code_tables", "entries", "longest_code", "rows_differential")),
            *(f"{layer[key]:.3f}" for key in ("bits_per_nonzero", "bits_per_weight", "entropy_bits_per_weight")),
        ]
        cycles = tables["cycles"][number]
        assert [cycles[at] for at in (0, 1, 3, 4)] == [
            *(layer["name"], f"{estimated['cycles']:,}", f"{estimated['utilisation']:.1%}", estimated["limit"])
        ]
        assert tables["roofline"][number][0] == layer["name"]
        assert tables["roofline"][number][3] == f"{layer['macs'] / estimated['cycles']:,.2f}"
    facts = {"".join(one[0].itertext()): "".join(one[1].itertext()) for one in root.iter("div") if len(one) == 2}
    assert facts["file"] == f"{values['file_bytes']:,} bytes"
    assert facts["estimated cycles, an image"] == f"{values['estimated_cycles']:,}"
    assert table(root, "notes") == [["note", "a test"]]
    assert len(list(root.iter("svg"))) == 3 + 3 * len(values["layers"])


def test_figures_follow_from_the_streams(artifact: Path) -> None:
    loaded = Artifact.load(artifact)
    values = figures(loaded, 0, None, lambda *_: None)
    for info, layer in zip(loaded.image.layers, values["layers"], strict=True):
        assert sum(layer["row_densities"]) == info.rows
        assert sum(layer["code_lengths"]) == info.symbols and sum(layer["lane_taps"]) == info.taps
        bits = sum(length * count for length, count in enumerate(layer["code_lengths"]))
        assert 0 <= 8 * info.stream_bytes - bits < 64 * len(layer["lane_taps"])
        assert layer["balance"] == np.mean(layer["lane_taps"]) / max(layer["lane_taps"])
        assert bool(layer["formats"]) == (info.kind != "maxpool2d")
    weighted = [layer for layer in values["layers"] if layer["formats"]]
    weights = sum(layer["rows"] * layer["positions"] for layer in weighted)
    for name in CODECS:
        total = values["formats"][name]
        assert total["bytes"] == sum(layer["formats"][name]["bytes"] for layer in weighted)
        assert total["bits_per_weight"] == 8 * total["bytes"] / weights
    assert values["formats"]["dense int8"]["bytes"] == weights
    assert values["formats"]["device, streams and tables"]["bytes"] == sum(layer["bytes"] for layer in weighted)


def test_one_file_alike_every_time(artifact: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.html", tmp_path / "2.html"
    for path in (first, second):
        assert report(artifact, "-o", path).exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    names = [element.get("id") for element in page(first).iter() if element.get("id")]
    assert len(names) == len(set(names))
    for element in page(first).iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object")
        for key, value in element.attrib.items():
            assert not key.startswith("on") and key != "src" and "http:" not in value and "https:" not in value
            if "href" in key:
                assert value[1:] in names and value[0] == "#"


def hostile(artifact: Path, path: Path) -> Path:
    loaded = Artifact.load(artifact)
    layers = tuple(
        replace(info, name=name, kind=name if number == 1 else info.kind)
        for number, (info, name) in enumerate(zip(loaded.image.layers, HOSTILE, strict=True))
    )
    config = replace(loaded.config, name=HOSTILE[0])
    image = replace(loaded.image, network=HOSTILE[1], config=config, layers=layers)
    Artifact(image, {HOSTILE[0]: UNPRINTABLE, "deep": {"a": [HOSTILE[0]]}}).save(path)
    return path


def test_what_an_artifact_says_is_text(artifact: Path, tmp_path: Path) -> None:
    bad = hostile(artifact, tmp_path / "<b>$.hrz")
    accuracy = tmp_path / "a.json"
    values = {HOSTILE[0]: 0.5}
    layer = {"name": HOSTILE[1] + UNPRINTABLE, "sqnr_db": None, "clipped": 0.25, "scale": 0.1}
    accuracy.write_text(
        json.dumps({"data": HOSTILE[0], "images": 3, "task": HOSTILE[1], "values": values, "layers": [layer]})
    )
    run = report(bad, "-o", tmp_path / "r.html", "--accuracy", accuracy)
    assert (run.exit_code, run.stderr) == (0, "")
    root = page(tmp_path / "r.html")
    tags = {element.tag for element in root.iter()}
    assert not tags & {"script", "img", "b"}
    shown = [row[0] for row in table(root, "layers")]
    assert shown[:2] == list(HOSTILE[:2])
    assert shown[2].startswith("$\\frac{ </td>longlong") and shown[2].endswith("…") and len(shown[2]) == 201
    for name in TABLES[1:]:
        assert [row[0] for row in table(root, name)] == shown
    assert "7 * 7" in shown[1]
    assert table(root, "accuracy") == [[HOSTILE[0], "0.5000"]]
    assert table(root, "noise") == [[HOSTILE[1] + "??[31m???", "–", "25.0%", "0.1"]]
    assert table(root, "notes") == [[HOSTILE[0], "??[31m???"], ["deep", json.dumps({"a": [HOSTILE[0]]})]]
    assert "".join(root.iter("title").__next__().itertext()) == "<b>$.hrz"


def test_accuracy_of_eval(artifact: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", inputs=np.zeros((4, 2, 6, 6), np.float32), labels=np.zeros(4, np.int64))
    run = CliRunner().invoke(main, ["eval", str(artifact), "--data", str(tmp_path / "set.npz"), "--json"])
    assert run.exit_code == 0, run.output
    (tmp_path / "a.json").write_text(run.stdout)
    assert report(artifact, "-o", tmp_path / "r.html", "--accuracy", tmp_path / "a.json").exit_code == 0
    values = json.loads(run.stdout)
    assert table(page(tmp_path / "r.html"), "accuracy") == [["model", f"{values['values']['model']:.4f}"]]


GOOD = {"data": "x", "images": 1, "task": "top1", "values": {"model": 1.0}}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "3", "[" * 100_000, "\xff"),
        *(json.dumps({**GOOD, key: None}) for key in GOOD),
        json.dumps({**GOOD, "values": {"model": "<b>"}}),
        json.dumps({**GOOD, "images": True}),
        json.dumps({**GOOD, "layers": 3}),
        json.dumps({**GOOD, "layers": [{}]}),
        json.dumps({**GOOD, "values": {"model": float("nan")}}),
        json.dumps(GOOD) + " " * (1 << 20),
    ],
)
def test_accuracy_that_is_none(artifact: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    run = report(artifact, "-o", tmp_path / "r.html", "--accuracy", tmp_path / "a.json")
    assert run.exit_code == 1 and run.stderr.startswith("error: ") and run.stderr.count("\n") == 1
    assert "is not what `headrace eval --json` writes" in run.stderr and not (tmp_path / "r.html").exists()


def test_mistakes(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.hrz").write_bytes(artifact.read_bytes()[:-1])
    out = tmp_path / "r.html"
    for arguments in (
        (tmp_path / "none.hrz", "-o", out),
        (tmp_path / "cut.hrz", "-o", out),
        (artifact, "-o", tmp_path),
        (artifact, "-o", tmp_path / "no" / "r.html"),
        (artifact, "-o", artifact),
        (artifact, "-o", out, "--accuracy", tmp_path / "none.json"),
        (artifact, "-o", out, "--accuracy", tmp_path),
    ):
        before = sorted(tmp_path.iterdir())
        run = report(*arguments)
        assert run.exit_code == 1 and run.stdout == "", arguments
        assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
    assert "Example: headrace report" in report("--help").stdout


def test_missing_packages_are_named(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    run = report(artifact, "-o", tmp_path / "r.html")
    assert run.exit_code == 1 and "pip install 'headrace[report]'" in run.stderr
