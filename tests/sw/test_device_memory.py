"""Buffers of the model device."""

from __future__ import annotations

import pytest

from device_programs import BASE, open_model
from headrace.config import get_config
from headrace.device import ALIGNMENT
from headrace.device.memory import UNDEFINED
from headrace.errors import DeviceError

SMALL = get_config("small")


@pytest.fixture
def device():
    with open_model(SMALL) as model:
        yield model


class TestMemory:
    def test_buffers_are_aligned_apart_and_reused(self, device):
        first, second, third = (device.allocate(nbytes) for nbytes in (1, 65, 64))
        assert all(buffer.address % ALIGNMENT == 0 for buffer in (first, second, third))
        assert [buffer.address - BASE for buffer in (first, second, third)] == [0, 64, 192]
        second.free()
        second.free()
        assert device.allocate(129).address == BASE + 256
        assert device.allocate(128).address == BASE + 64

    def test_full(self, device):
        with pytest.raises(DeviceError, match="device memory is full: 65537 bytes"):
            device.allocate((1 << 16) + 1)
        with pytest.raises(DeviceError, match="cannot allocate 0 bytes"):
            device.allocate(0)

    def test_views_agree_only_after_flush_and_invalidate(self, device):
        buffer = device.allocate(8)
        assert buffer.array.tolist() == [UNDEFINED] * 8
        buffer.array[...] = 7
        assert device.memory.view(buffer.address, 8).tolist() == [UNDEFINED] * 8
        buffer.flush()
        device.memory.view(buffer.address, 8)[...] += 1
        assert buffer.array.tolist() == [7] * 8
        buffer.invalidate()
        assert buffer.array.tolist() == [8] * 8

    def test_freed(self, device):
        buffer = device.allocate(8)
        buffer.free()
        for call in (buffer.flush, buffer.invalidate):
            with pytest.raises(DeviceError, match="was freed"):
                call()
