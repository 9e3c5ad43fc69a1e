"""Charts of matplotlib as SVG that is part of a page: its colours are the page's, its names its own."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

INK = "#010203"
"""Drawn with this colour, a line or text has that of the page's text, light or dark."""
RC: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "headrace",
    "text.parse_math": False,  # a layer's name is no formula
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
"""matplotlib's settings while charts are made."""
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_REFERENCE = re.compile(r"(?:(?<=url\(#)|(?<=^#))[\w-]+")


def inline(figure: Any, label: str, prefix: str) -> str:
    """An <svg> element without namespaces, style sheets or what nothing refers to; it fills the width it is given.

    Args:
        figure: of matplotlib.
        label: what a screen reader says.
        prefix: of the ids, which are unique in one chart only.
    """
    buffer = BytesIO()
    with warnings.catch_warnings():
        # Letters that matplotlib's font lacks: the browser's has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata=_METADATA)
    root = ElementTree.fromstring(buffer.getvalue())
    names = {element.get("id") for element in root.iter()}
    used = {name for element in root.iter() for name in _references(element) if name in names}
    for parent in list(root.iter()):
        for child in [one for one in parent if _plain(one.tag) in ("style", "metadata")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _plain(element.tag)
        element.attrib = {_plain(key): _own(value, used, prefix) for key, value in element.attrib.items()}
        if "id" in element.attrib:
            name = element.attrib.pop("id")
            if name in used:
                element.set("id", f"{prefix}{name}")
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _plain(name: str) -> str:
    """Without its namespace: in HTML, svg and href need none."""
    return name.rpartition("}")[2]


def _references(element: ElementTree.Element) -> list[str]:
    return [name for key, value in element.attrib.items() if key != "id" for name in _REFERENCE.findall(value)]


def _own(value: str, used: set[str], prefix: str) -> str:
    value = value.replace(INK, "var(--ink)")
    return _REFERENCE.sub(lambda found: prefix + found[0] if found[0] in used else found[0], value)
