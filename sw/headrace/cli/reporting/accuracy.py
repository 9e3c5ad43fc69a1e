"""What `headrace eval --json` wrote, read back for a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import DataError

MAX_BYTES = 1 << 20
NETWORK = {"data": str, "images": int, "task": str, "values": dict}
LAYER = {"name": str, "sqnr_db": (float, int, type(None)), "clipped": (float, int), "scale": (float, int)}


def load_accuracy(path: Path) -> dict[str, Any]:
    """The object in the file, "layers" empty where it has none. DataError, one line, for anything else."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        values = json.loads(content)
        _check(values, NETWORK)
        values = {"layers": [], **values}
        if not isinstance(values["layers"], list) or not all(_number(one) for one in values["values"].values()):
            raise ValueError("its values are not numbers, or its layers no list")
        for layer in values["layers"]:
            _check(layer, LAYER)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not what `headrace eval --json` writes: {reason}") from None
    return values


def _check(values: Any, wanted: dict[str, Any]) -> None:
    if not isinstance(values, dict):
        raise ValueError("it holds something other than objects")
    for key, kind in wanted.items():
        if not isinstance(values.get(key), kind) or isinstance(values[key], bool) or values[key] != values[key]:
            raise ValueError(f"{key!r} is missing or of another type")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
