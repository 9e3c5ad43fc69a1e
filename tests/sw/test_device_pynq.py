"""The driver of the board against a stand-in for the package `pynq`, below the driver: the accelerator is the model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.device import Device, open_device
from headrace.device.model import ModelDevice
from headrace.errors import DeviceError
from headrace.registers import offset
from headrace.session import Session
from networks import random_input, tiny_lenet

CONFIG = get_config("tiny")


class FakeArray(np.ndarray):
    """pynq's buffers are arrays that know their address; here with the model's memory behind them."""

    def flush(self) -> None:
        self.behind.array[...] = self
        self.behind.flush()

    def invalidate(self) -> None:
        self.behind.invalidate()
        self[...] = self.behind.array

    def freebuffer(self) -> None:
        self.behind.free()


class FakeInterrupt:
    def __init__(self) -> None:
        self.waits = 0
        self.silent = False

    async def wait(self) -> None:
        self.waits += 1
        if self.silent:
            await asyncio.sleep(60)


class FakePynq(ModuleType):
    """`ips`: VLNVs by name. `interrupt`: what `irq` of the accelerator is."""

    def __init__(self, ips: dict[str, str], interrupt: FakeInterrupt | None) -> None:
        super().__init__("pynq")
        self.model = ModelDevice(CONFIG)
        self.shift = 0
        mmio = SimpleNamespace(read=self.model.read, write=self.write)
        self.overlay = SimpleNamespace(
            ip_dict={name: {"type": vlnv} for name, vlnv in ips.items()},
            clock_dict={0: {"enable": 1, "frequency": "125.0"}},
            **{name: SimpleNamespace(mmio=mmio, irq=interrupt) for name in ips},
        )

    def write(self, at: int, value: int) -> None:
        self.model.write(at, value)
        if at == offset("CONTROL") and value == 1:
            self.model.wait(10)  # the model's program runs while somebody waits for it

    def Overlay(self, path: str, download: bool) -> Any:  # noqa: N802
        if "broken" in path:
            raise RuntimeError("Unable to parse metadata\nand more lines")
        return self.overlay

    def allocate(self, shape: tuple[int], dtype: str) -> Any:
        if shape[0] > 1 << 20:
            raise MemoryError("CMA is exhausted")
        behind = self.model.allocate(shape[0])
        array = np.zeros(shape, dtype).view(FakeArray)
        array.behind, array.device_address = behind, behind.address + self.shift
        return array


@pytest.fixture
def bit(tmp_path: Path) -> Path:
    path = tmp_path / "headrace.bit"
    for suffix in (".bit", ".hwh"):
        path.with_suffix(suffix).touch()
    return path


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """The one that pynq's interrupt controllers would live in."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def install(monkeypatch: pytest.MonkeyPatch, interrupt: FakeInterrupt | None = None, **ips: str) -> FakePynq:
    pynq = FakePynq(ips or {"headrace_0": "headrace:user:headrace:1.0", "dma": "xilinx.com:ip:axi_dma:7.1"}, interrupt)
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    return pynq


@pytest.mark.parametrize("interrupt", [None, FakeInterrupt()], ids=["polling", "interrupt"])
def test_session(monkeypatch: pytest.MonkeyPatch, bit: Path, interrupt: FakeInterrupt | None) -> None:
    install(monkeypatch, interrupt)
    rng = np.random.default_rng(3)
    network = tiny_lenet(rng)
    x = random_input(rng, network, 2)
    with open_device("pynq", CONFIG, overlay=bit) as device:
        assert isinstance(device, Device) and device.clock_mhz == 125.0
        with Session(device, Artifact(compile_network(network, CONFIG))) as session:
            assert np.array_equal(session.run(x).outputs, network.run(x))
    assert interrupt is None or interrupt.waits == 2


def test_interrupt_that_never_comes_is_no_loss(monkeypatch: pytest.MonkeyPatch, bit: Path) -> None:
    """STATUS has the last word: an overlay whose interrupt is wired wrongly works, slowly."""
    interrupt = FakeInterrupt()
    interrupt.silent = True
    pynq = install(monkeypatch, interrupt)
    pynq.overlay.headrace_0.mmio.read = lambda at: 2  # done
    with open_device("pynq", CONFIG, overlay=bit) as device:
        device.wait(0.05)
    pynq.overlay.headrace_0.mmio.read = lambda at: 1  # busy
    with open_device("pynq", CONFIG, overlay=bit) as device, pytest.raises(DeviceError, match=r"within 0\.05 s"):
        device.wait(0.05)


def test_notebooks_poll(monkeypatch: pytest.MonkeyPatch, bit: Path) -> None:
    interrupt = FakeInterrupt()
    pynq = install(monkeypatch, interrupt)
    pynq.overlay.headrace_0.mmio.read = lambda at: 2

    async def cell() -> None:
        with open_device("pynq", CONFIG, overlay=bit) as device:
            device.wait(1)

    asyncio.run(cell())
    assert interrupt.waits == 0


@pytest.mark.parametrize(
    ("ips", "message"),
    [
        ({"dma": "xilinx.com:ip:axi_dma:7.1"}, "has 0 headrace accelerators, not one; it has dma"),
        ({"a": "h:user:headrace:1.0", "b": "h:user:headrace:1.0"}, "has 2 headrace accelerators"),
    ],
)
def test_overlay_without_accelerator(
    monkeypatch: pytest.MonkeyPatch, bit: Path, ips: dict[str, str], message: str
) -> None:
    install(monkeypatch, **ips)
    with pytest.raises(DeviceError, match=message):
        open_device("pynq", CONFIG, overlay=bit)


def test_files_and_failures_of_pynq(monkeypatch: pytest.MonkeyPatch, bit: Path, tmp_path: Path) -> None:
    pynq = install(monkeypatch)
    with pytest.raises(DeviceError, match=r"no file .*other\.bit"):
        open_device("pynq", CONFIG, overlay=tmp_path / "other.bit")
    bit.with_suffix(".hwh").rename(tmp_path / "broken.hwh")
    with pytest.raises(DeviceError, match=r"no file .*headrace\.hwh"):
        open_device("pynq", CONFIG, overlay=bit)
    bit.rename(tmp_path / "broken.bit")
    with pytest.raises(DeviceError, match=r"broken\.bit cannot be loaded \(RuntimeError: Unable to parse metadata\)$"):
        open_device("pynq", CONFIG, overlay=tmp_path / "broken.bit")
    for suffix in (".bit", ".hwh"):
        bit.with_suffix(suffix).touch()
    with open_device("pynq", CONFIG, overlay=bit) as device:
        with pytest.raises(DeviceError, match="CMA is exhausted"):
            device.allocate(1 << 21)
        with pytest.raises(DeviceError, match="cannot allocate 0 bytes"):
            device.allocate(0)
        pynq.shift = 8
        with pytest.raises(DeviceError, match="not a multiple of 64 within 32 bits"):
            device.allocate(64)
        pynq.shift = 0
        buffer = device.allocate(64)
        buffer.free()
        buffer.free()
        with pytest.raises(DeviceError, match="was freed"):
            buffer.flush()
        for bad in (2, 1 << 12):
            with pytest.raises(DeviceError, match="register offset"):
                device.read(bad)
        with pytest.raises(DeviceError, match="32 bits"):
            device.write(0x18, 1 << 32)
