"""Scripts, which have no suffix, as modules."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script_module(name: str) -> ModuleType:
    """`scripts/NAME`, run anew, without its `main`."""
    unique = f"{name}_script"
    spec = spec_from_loader(unique, SourceFileLoader(unique, str(SCRIPTS / name)))
    assert spec is not None and spec.loader is not None
    module = sys.modules[unique] = module_from_spec(spec)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
