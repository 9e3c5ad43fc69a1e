"""The HTML of a report: one file, without scripts, that asks for nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ... import __version__
from ...cycles import Memory
from ..output import Progress
from .charts import all_charts, layer_charts

LONGEST, MOST_NOTES = 200, 20
"""Characters of a text, and notes of whoever made the artifact, that are shown."""


def render(title: str, values: dict[str, Any], accuracy: dict[str, Any] | None, show: Progress) -> str:
    """The page, which is XML, too: texts of the artifact are escaped, whatever they hold.

    Args:
        title: the file's name.
        values: `figures.figures`.
        accuracy: `accuracy.load_accuracy`.
        show: called for each layer.

    Raises:
        ModuleNotFoundError: Jinja2 or matplotlib is missing.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"whole": _whole, "fixed": _fixed, "percent": _percent}
    environment.tests["unknown"] = lambda value: value is None
    notes = _printable({key: _note(value) for key, value in list(values["meta"].items())[:MOST_NOTES]})
    values = _printable({**values, "meta": None})
    details = []
    for number, layer in enumerate(values["layers"]):
        show(number, len(values["layers"]))
        details.append(layer_charts(layer, number))
    return environment.get_template("page.html").render(
        title=_printable(title),
        values=values,
        peers=next((list(layer["formats"]) for layer in values["layers"] if layer["formats"]), []),
        notes=notes,
        accuracy=_printable(accuracy),
        memory=Memory(),
        charts=all_charts(values),
        details=details,
        version=__version__,
    )


def _printable(value: Any) -> Any:
    """A copy in which no text holds what XML or a reader cannot take: controls, halves of letters, marks that turn the
    direction of reading; and none is longer than a line or two."""
    if isinstance(value, str):
        text = "".join(c if c.isprintable() else "?" for c in value[: LONGEST + 1])
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if isinstance(value, Mapping):
        return {_printable(key): _printable(one) for key, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list) else value


def _note(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
