"""`headrace inspect`: what an artifact holds, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..artifact import Artifact
from ..codecs.bounds import entropy
from ..cycles import Limit, Memory, estimate
from ..image import Image, LayerInfo
from ..stream import MAX_RUN_OF_SYMBOL
from .decode import check_figures, decode_layer
from .output import json_option, print_json, print_table

CODING = "run-value Huffman"
NOTES = (
    "Rows are fresh, or so many of them are differences from others; <= is the longest run of zeros where it is\n"
    "limited. Codes share the entries of one symbol table. stream and tables are bytes in memory; tables are those of\n"
    "codes, symbols, taps, lanes and channels. Bits are those of the stream, for each nonzero (nz) and each weight.\n"
    "entropy is that of the layer's weights one by one, zeros included: no code that maps weights one by one needs\n"
    "fewer bits a weight."
)
ESTIMATE_NOTES = (
    "Computed and not measured, for a memory of {beats:.3g} beats of 64 bits a cycle that come {latency} cycles late.\n"
    "used: nonzero weights times output pixels, over what all multipliers could make. The other columns are what a\n"
    "lane's cycles go to, in percent: multiplying, waiting for the decoder, for its stream, for the way out and the\n"
    "write-back, for the layer's tables; and the balance: lanes that have no row left, the pipeline that fills and\n"
    "drains. limit is the largest. The total holds loads and stores too."
)


@click.command(epilog="Example: headrace inspect lenet5.hrz")
@click.argument("artifact", metavar="F.hrz", type=click.Path(path_type=Path))
@json_option
def inspect(artifact: Path, as_json: bool) -> None:
    """Show shape, density, coding, bytes, bits per weight and estimated cycles of each layer."""
    loaded = Artifact.load(artifact)
    values = figures(loaded, artifact.stat().st_size)
    if as_json:
        print_json(values)
        return
    layers, batch = values["layers"], values["batch"]
    print_table(
        f"{values['network']} for config {values['config']}: {values['file_bytes']:,} bytes"
        + (f", {batch} inputs a run, as pixels" if batch > 1 else ""),
        ("layer", "kind", "shape", "weights", "density", "MACs"),
        [
            (
                layer["name"],
                layer["kind"],
                "x".join(map(str, layer["input_shape"])) + ">" + "x".join(map(str, layer["output_shape"])),
                f"{layer['rows']} x {layer['positions']}",
                f"{layer['density']:.4f}",
                layer["macs"],
            )
            for layer in layers
        ],
    )
    print_table(
        f"coding: {CODING}",
        ("layer", "rows", "codes", "entries", "stream", "tables", "bits/nz", "/weight", "entropy"),
        [
            (
                layer["name"],
                _rows(layer["coding"], layer["rows"]),
                layer["coding"]["code_tables"],
                layer["coding"]["entries"],
                layer["stream_bytes"],
                layer["table_bytes"],
                *(_bits(layer[key]) for key in ("bits_per_nonzero", "bits_per_weight", "entropy_bits_per_weight")),
            )
            for layer in layers
        ],
        NOTES,
    )
    memory = Memory()
    print_table(
        "estimated cycles" + (f" of a run: {values['estimated_cycles_per_input']:,.1f} an input" if batch > 1 else ""),
        ("layer", "cycles", "used", "limit", *(share.value for share in Limit)),
        [
            *(_cycles(layer["name"], layer["estimate"]) for layer in layers),
            ("total", values["estimated_cycles"], f"{values['utilisation']:.1%}", None, *[None] * len(Limit)),
        ],
        ESTIMATE_NOTES.format(beats=memory.beats_per_cycle, latency=memory.latency),
    )


def _cycles(name: str, estimated: dict[str, Any]) -> tuple[Any, ...]:
    shares = (round(100 * share / estimated["cycles"]) for share in estimated["shares"].values())
    return name, estimated["cycles"], f"{estimated['utilisation']:.1%}", estimated["limit"], *shares


def _rows(coding: dict[str, Any], rows: int) -> str:
    """How the rows are sent."""
    differential = coding["rows_differential"]
    kind = f"{differential / rows:.0%} diff" if differential else "fresh"
    return kind if coding["longest_run"] == MAX_RUN_OF_SYMBOL else f"{kind} <={coding['longest_run']}"


def _bits(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def figures(artifact: Artifact, file_bytes: int) -> dict[str, Any]:
    """What `--json` prints."""
    image = artifact.image
    layers = [_layer(image, info) for info in image.layers]
    estimated = estimate(image)
    for layer, cycles in zip(layers, estimated.layers, strict=True):
        layer["estimate"] = {
            "cycles": cycles.cycles,
            "utilisation": cycles.utilisation,
            "limit": cycles.limit.value,
            "shares": {share.value: round(value, 1) for share, value in cycles.shares.items()},
        }
    return {
        "network": image.network,
        "config": image.config.name,
        "config_hash": f"{image.config_hash:08x}",
        "file_bytes": file_bytes,
        "blob_bytes": len(image.blob),
        "input_shape": list(image.input_shape),
        "input_scale": image.input_scale,
        "output_shape": list(image.output_shape),
        "output_scale": image.output_scale,
        "batch": image.batch,
        "meta": dict(artifact.meta),
        "estimated_cycles": estimated.cycles,
        "estimated_cycles_per_input": estimated.cycles / image.batch,
        "utilisation": estimated.utilisation,
        "layers": layers,
    }


def _layer(image: Image, info: LayerInfo) -> dict[str, Any]:
    decoded = decode_layer(image, info)
    check_figures(image, info, decoded)
    bits, size = 8 * info.stream_bytes, decoded.weights.size
    return {
        "name": info.name,
        "kind": info.kind,
        "input_shape": list(info.input_shape),
        "output_shape": list(info.output_shape),
        "rows": info.rows,
        "positions": info.positions,
        "nonzeros": info.nonzeros,
        "density": info.density,
        "distinct": int(np.unique(decoded.weights).size),
        "coding": {
            "name": CODING,
            "entries": info.entries,
            "code_tables": len(decoded.codes),
            "longest_code": max(int(code.lengths.max(initial=0)) for code in decoded.codes),
            "escape": any(code.escape for code in decoded.codes),
            "longest_run": info.longest_run,
            "rows_differential": decoded.differential_rows,
            "symbols": info.symbols,
        },
        "stream_bytes": info.stream_bytes,
        "table_bytes": info.table_bytes,
        "bits_per_nonzero": bits / info.nonzeros if info.nonzeros else None,
        "bits_per_weight": bits / size if size else None,
        "entropy_bits_per_weight": entropy(decoded.weights),
        "macs": info.macs,
        "bound_cycles": info.bound_cycles,
    }
