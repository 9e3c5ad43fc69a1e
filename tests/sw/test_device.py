"""Devices by name: what is installed, and what to do where it is not."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

import headrace.device
from device_programs import open_model
from headrace.config import get_config
from headrace.device import GROUP, Device, open_device
from headrace.device.model import ModelDevice
from headrace.errors import DeviceError

SMALL = get_config("small")


class TestOpen:
    def test_by_name(self):
        with open_device("model", SMALL, memory_bytes=1 << 16) as device:
            assert isinstance(device, Device)
            assert device.name == "model" and device.clock_mhz is None

    def test_unknown_name_lists_the_others(self):
        with pytest.raises(DeviceError, match=r"no device 'nothing' is installed; there are: .*model"):
            open_device("nothing", SMALL)

    def test_the_board_says_what_it_needs(self, monkeypatch):
        with pytest.raises(DeviceError, match=r"needs an overlay: the \.bit file"):
            open_device("pynq", SMALL)
        with pytest.raises(DeviceError, match="no option speed; it has overlay"):
            open_device("pynq", SMALL, speed=3)
        monkeypatch.setitem(sys.modules, "pynq", None)
        with pytest.raises(DeviceError, match=r"needs the package pynq \(.*: on a board"):
            open_device("pynq", SMALL, overlay="a.bit")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("sim", "headrace_no_such:open", r"headrace\[sim\]"),
            ("other", "headrace_no_such:open", "install the package that provides headrace_no_such:open"),
            ("other", "headrace.device:nothing", "headrace.device:nothing does not exist"),
        ],
    )
    def test_missing_package_says_what_to_install(self, monkeypatch, name, value, message):
        monkeypatch.setattr(headrace.device, "entry_points", lambda group: [EntryPoint(name, value, group)])
        assert GROUP == "headrace.devices"
        with pytest.raises(DeviceError, match=message):
            open_device(name, SMALL)

    def test_unknown_option(self):
        with pytest.raises(DeviceError, match="no option speed"):
            open_device("model", SMALL, speed=3)

    @pytest.mark.parametrize("options", [{"memory_bytes": 0}, {"memory_bytes": 100}, {"memory_base": 8}])
    def test_bad_memory(self, options):
        with pytest.raises(DeviceError, match="model memory"):
            ModelDevice(SMALL, **options)

    def test_closed(self):
        device = open_model(SMALL)
        device.close()
        device.close()
        for call in (lambda: device.read(0), lambda: device.write(0, 0), lambda: device.wait(1)):
            with pytest.raises(DeviceError, match="closed"):
                call()
