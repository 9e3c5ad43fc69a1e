"""The build cache: one build for equal input, also when asked in parallel; failures name their log."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from headrace.errors import HeadraceError
from headrace_sim import build as module
from headrace_sim import tools
from headrace_sim.build import build, cache_directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_directory(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_directory() == cache and cache.is_dir()
    monkeypatch.delenv("HEADRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg/headrace"
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "file/x"))
    with pytest.raises(HeadraceError, match="HEADRACE_CACHE names another place"):
        cache_directory()


def test_equal_input_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def make(directory: Path, *args: object) -> Path:
        calls.append(str(args))
        (directory / "x.so").write_text("library")
        return directory / "x.so"

    monkeypatch.setattr(module, "_build", make)
    first = build("module a; endmodule", "a")
    assert build("module a; endmodule", "a") == first and first.read_text() == "library"
    others = {build("module a; wire b; endmodule", "a")}
    others |= {build("module a; endmodule", "a", trace=True), build("module a; endmodule", "a", coverage=True)}
    assert len(others | {first}) == len(calls) == 4
    assert not [path for path in cache.iterdir() if path.name.startswith("build-")]


def test_parallel_calls_build_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def make(directory: Path, *args: object) -> Path:
        calls.append(1)
        time.sleep(0.2)
        (directory / "x.so").write_text("library")
        return directory / "x.so"

    monkeypatch.setattr(module, "_build", make)
    threads = [threading.Thread(target=build, args=("module a; endmodule", "a")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_failure_names_its_log_and_leaves_nothing_else(cache: Path) -> None:
    for _ in range(2):
        with pytest.raises(HeadraceError, match=r"building the simulation failed: .*Error.*; the log is ") as caught:
            build("module a; this is no Verilog endmodule", "a")
        log = Path(str(caught.value).split("the log is ")[1])
        assert "dut.v:1" in log.read_text()
    assert {path.suffix for path in cache.iterdir()} == {".log", ".lock"}


def test_missing_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    with pytest.raises(HeadraceError, match=r"needs a C\+\+ compiler"):
        tools.find_tools.__wrapped__()
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HeadraceError, match=r"pip install 'headrace\[sim\]'"):
        tools.find_tools.__wrapped__()
