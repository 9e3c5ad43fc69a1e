"""Where built things are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import HeadraceError


def cache_directory() -> Path:
    """The cache, created if need be."""
    named = os.environ.get("HEADRACE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(named) if named else Path(base) / "headrace"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HeadraceError(f"cannot write the cache {path} ({error}); HEADRACE_CACHE names another place") from error
    return path
