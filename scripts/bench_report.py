"""What bench_codecs.py writes: the figures as JSON, tables and a chart."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from headrace.files import replacing

OURS = "headrace"
COMMAND = "scripts/bench_codecs.py FILE... --output docs/bench_codecs"


def write_report(result: dict[str, Any], output: Path) -> None:
    """OUTPUT.json, OUTPUT.md, and OUTPUT.svg where matplotlib is installed; each whole or not at all."""
    drawing = _draw(result)
    for suffix, content in (
        (".json", (json.dumps(result, indent=1) + "\n").encode()),
        (".md", _markdown(result, output.name if drawing else None).encode()),
        (".svg", drawing),
    ):
        if content is not None:
            with replacing(output.with_suffix(suffix)) as file:
                file.write(content)


def best_peer(figures: dict[str, Any]) -> tuple[str, float]:
    """The smallest of those that are compared with, and its fraction of float32."""
    rows = [(row["fraction"], name) for name, row in figures["formats"].items() if row.get("peer")]
    fraction, name = min(rows)
    return name, fraction


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def _markdown(result: dict[str, Any], chart: str | None) -> str:
    matrices, machine = result["matrices"], result["machine"]
    names = list(matrices)
    lines = [
        "# Formats compared",
        "",
        f"Written by `{COMMAND}` on {machine['processor']},",
        f"{machine['cores']} cores, Python {machine['python']}, NumPy {machine['numpy']}. One run: sizes with all that",
        "decoding needs, dictionaries included; times as medians of interleaved rounds, on one thread unless it says",
        "otherwise. Machines are noisy: look at the ratios.",
        "",
        *([f"![sizes and products]({chart}.svg)", ""] if chart else []),
        "## Size, as a fraction of dense float32",
        "",
    ]
    forms = sorted(
        matrices[names[0]]["formats"], key=lambda form: sum(m["formats"][form]["fraction"] for m in matrices.values())
    )
    rows = []
    for form in forms:
        cells = [f"{matrices[name]['formats'][form]['fraction']:.4f}" for name in names]
        rows.append([f"**{form}**" if form == OURS else form, *(f"**{c}**" if form == OURS else c for c in cells)])
    rows.append(["best peer", *(best_peer(matrices[name])[0] for name in names)])
    ratios = [matrices[name]["formats"][OURS]["fraction"] / best_peer(matrices[name])[1] for name in names]
    rows.append(["headrace / best peer", *(f"{ratio:.3f}" for ratio in ratios)])
    lines += _table(["format", *names], rows)
    lines += [
        "Peers are the zero-order entropy with the dictionary (H0 bound), HAC, sHAC, NNCodec, ANS, zstd, xz and zlib;",
        "they got the positions in the dictionary, in the better of both orders.",
        "",
        "## Multiplications of one product",
        "",
    ]
    counts = {
        "dense": lambda m: m["shape"][0] * m["shape"][1],
        "nonzeros": lambda m: m["nonzeros"],
        "headrace": lambda m: m["formats"][OURS]["macs"],
        "rows as differences": lambda m: m["formats"][OURS]["rows_differential"],
        "codes": lambda m: m["formats"][OURS]["codes"],
    }
    lines += _table(
        ["", *names], [[what, *(f"{count(matrices[n]):,}" for n in names)] for what, count in counts.items()]
    )
    lines += ["## Decoding, million weights per second", ""]
    how = list(dict.fromkeys(h for m in matrices.values() for h in m["decode"]))
    rows = [[h, *(_rate(matrices[n]["decode"].get(h), "weights_per_s") for n in names)] for h in how]
    symbols = [_rate(matrices[n]["decode"].get("headrace, symbols"), "symbols_per_s") for n in names]
    lines += _table(["decoder", *names], [*rows, ["headrace, million symbols per second", *symbols]])
    lines += [
        "A symbol of headrace is a nonzero with its place, or an end of row; `whole rows` writes every row as int16.",
        "",
    ]
    for key in [key for key in matrices[names[0]] if key.startswith("product")]:
        batch = key.rpartition("_")[2]
        what = "one input" if key == "product" else f"{batch} inputs"
        lines += [f"## x^T W for {what}: microseconds (speed-up over dense float32)", ""]
        how = list(dict.fromkeys(h for m in matrices.values() for h in m[key]))
        lines += _table(["", *names], [[h, *(_time(matrices[n][key].get(h)) for n in names)] for h in how])
    lines += ["## Encoding, seconds", ""]
    forms = list(matrices[names[0]]["encode_seconds"])
    lines += _table(["", *names], [[f, *(f"{matrices[n]['encode_seconds'][f]:.2f}" for n in names)] for f in forms])
    return "\n".join(lines)


def _rate(row: dict[str, float] | None, key: str) -> str:
    return "-" if row is None else f"{row[key] / 1e6:,.0f}"


def _time(row: dict[str, float] | None) -> str:
    return "-" if row is None else f"{1e6 * row['seconds']:,.1f} ({row['speedup']:.2f})"


def _draw(result: dict[str, Any]) -> bytes | None:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return None
    matrices = result["matrices"]
    names = list(matrices)
    figure = Figure(figsize=(11, 4 + 0.6 * len(names)), layout="constrained")
    sizes, times = figure.subplots(1, 2)
    forms = ("headrace", "NNCodec", "xz -9", "zstd -19", "hac", "shac", "csc", "im")
    shown = [form for form in forms if form in matrices[names[0]]["formats"]]
    _bars(sizes, names, {f: [matrices[n]["formats"][f]["fraction"] for n in names] for f in shown})
    sizes.set_xlabel("bytes, as a fraction of dense float32")
    ways = ("headrace", "CSC, SciPy", "sHAC", "HAC", "dense int8, C++")
    how = [way for way in ways if way in matrices[names[0]]["product"]]
    _bars(times, names, {h: [1 / matrices[n]["product"][h]["speedup"] for n in names] for h in how})
    times.axvline(1, color="black", linewidth=0.8)
    times.set_xlabel("time of one product, as a multiple of dense float32")
    times.set_yticklabels([])
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "headrace"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _bars(axes: Any, names: list[str], series: dict[str, list[float]]) -> None:
    height = 0.8 / max(len(series), 1)
    for number, (label, values) in enumerate(series.items()):
        axes.barh([n + height * number for n in range(len(names))], values, height, label=label)
    axes.set_xscale("log")
    axes.set_yticks([n + 0.4 - height / 2 for n in range(len(names))], names)
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.4)
    axes.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncol=4, frameon=False)
