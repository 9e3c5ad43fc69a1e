"""Dataclasses as JSON objects and back, with every field's presence and type checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from .errors import FormatError


def plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass instance, tuples as lists, as JSON would have them."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(value).items()}


def kinds(cls: Any) -> dict[str, Any]:
    """Annotations of a dataclass's fields, as text (its module postpones their evaluation)."""
    return {field.name: field.type for field in fields(cls)}


def typed(what: str, values: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of `values`: exactly the keys of `kinds`, and the types that those name.

    int, bool, str (printable) and float (finite) are checked, without conversion; so are tuples, which come as lists,
    and tuples of int are made from them. Other annotations are the caller's to check. FormatError naming `what` and the
    field.
    """
    if not isinstance(values, Mapping):
        raise FormatError(f"{what}: not an object")
    for key in [*(key for key in kinds if key not in values), *(key for key in values if key not in kinds)]:
        raise FormatError(f"{what}: {'unknown' if key in values else 'missing'} field {key!r}")
    return {key: _checked(what, key, values[key], kind) for key, kind in kinds.items()}


def _checked(what: str, key: str, value: Any, kind: str) -> Any:
    if kind in ("int", "bool", "str", "float"):
        good = type(value).__name__ == kind
        if good and kind == "str" and not value.isprintable():
            raise FormatError(f"{what}: field {key!r} is not printable")
        if good and kind == "float" and not math.isfinite(value):
            raise FormatError(f"{what}: field {key!r} is not finite")
    elif "tuple[int" in kind and isinstance(value, list):
        good, value = all(type(item) is int for item in value), tuple(value)
    elif "tuple" in kind:
        good = isinstance(value, list) or (value is None and "None" in kind)
    else:
        good = True
    if not good:
        raise FormatError(f"{what}: field {key!r} is not {kind}")
    return value
