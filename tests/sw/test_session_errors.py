"""What a session says when the device does not do its part."""

from __future__ import annotations

import numpy as np
import pytest

import headrace.session
from device_programs import Fake, make
from headrace.artifact import Artifact
from headrace.errors import DeviceError
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES, ErrorCode
from headrace.registers import REGISTERS, offset
from headrace.session import Session
from networks import random_input


@pytest.fixture
def device():
    with Fake() as fake:
        yield fake


class TestErrors:
    X = np.zeros((1, 2, 6, 6), np.int8)

    def changed(self, number: int, **fields: int) -> Artifact:
        """An artifact whose descriptor `number` is not what was compiled."""
        image = make()[1].image
        descriptors = image.descriptors()
        descriptors[number] |= fields
        head = b"".join(DESCRIPTOR.pack(values).to_bytes(DESCRIPTOR_BYTES, "little") for values in descriptors)
        object.__setattr__(image, "blob", head + image.blob[len(head) :])
        return Artifact(image)

    def test_code_and_layer_are_named(self, device):
        with Session(device, self.changed(2, signature=1)) as session:
            with pytest.raises(DeviceError, match=r"device fake: SIGNATURE, layer 'pool', descriptor 2$"):
                session.run(self.X)
            assert device.read(offset("STATUS")) == 0

    def test_lane_is_named(self, device):
        with (
            Session(device, self.changed(3, in_channels=3)) as session,
            pytest.raises(DeviceError, match=r"BAD_POSITION, lane [01], layer 'fc', descriptor 3$"),
        ):
            session.run(self.X)

    @pytest.mark.parametrize(("number", "name"), [(0, "LOAD"), (4, "STORE")])
    def test_transfers_are_named(self, device, number, name):
        with (
            Session(device, self.changed(number, x_address=4)) as session,
            pytest.raises(DeviceError, match=f"BAD_DESCRIPTOR, {name}, descriptor {number}$"),
        ):
            session.run(self.X)

    @pytest.mark.parametrize("code", [ErrorCode.WATCHDOG, 99])
    def test_any_code(self, device, code):
        device.registers[offset("STATUS")] = 4
        fields = {"code": int(code), "lane": 1, "layer": 200, "descriptor": 250}
        device.registers[offset("ERROR")] = REGISTERS["ERROR"].record.pack(fields)
        name = code.name if isinstance(code, ErrorCode) else "unknown code 99"
        with (
            Session(device, make()[1]) as session,
            pytest.raises(DeviceError, match=f"{name}, lane 1, layer number 200, descriptor 250"),
        ):
            session.run(self.X)

    def test_interrupt_without_result(self, device):
        device.registers[offset("STATUS")] = 0
        with Session(device, make()[1]) as session, pytest.raises(DeviceError, match="interrupt without a result"):
            session.run(self.X)

    def test_time_out_carries_counters_and_aborts(self, device, monkeypatch):
        def wait(timeout_seconds: float) -> None:
            raise DeviceError(f"no interrupt within {timeout_seconds:g} s")

        monkeypatch.setattr(device, "wait", wait)
        device.registers |= {offset("CYCLES"): 123, offset("STALL", 0): 45, offset("STALL", 1): 67}
        message = "no interrupt within 2 s; device fake is busy after 123 cycles, stall cycles by lane: 45 67"
        with Session(device, make()[1]) as session, pytest.raises(DeviceError, match=message):
            session.run(self.X, timeout_seconds=2)
        started = device.writes.index((offset("CONTROL"), 1))
        assert device.writes[started + 1 :][:2] == [(offset("CONTROL"), 4), (offset("CONTROL"), 2)]

    def test_works_again_after_an_error(self, device):
        network, good = make()
        with Session(device, self.changed(1, signature=1)) as bad, Session(device, good) as session:
            with pytest.raises(DeviceError):
                bad.run(self.X)
            assert np.array_equal(session.run(self.X).outputs, network.run(self.X))


class TestIdle:
    """A start comes only to an idle device, and only an idle device loses its buffers."""

    @pytest.fixture
    def net(self):
        network, artifact = make()
        rng = np.random.default_rng(7)
        return network, artifact, random_input(rng, network), random_input(rng, network)

    def test_run_after_an_error_waits_for_the_drain(self, device, net):
        network, artifact, x, _ = net
        device.drain = 50
        with Session(device, artifact) as session:
            session._program.array[...] ^= 0xFF
            session._program.flush()
            with pytest.raises(DeviceError, match="BAD_DESCRIPTOR"):
                session.run(x)
            session._program.array[...] ^= 0xFF
            session._program.flush()
            device.draining = 50  # as if another driver had left it so
            assert np.array_equal(session.run(x).outputs, network.run(x))

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, DeviceError])
    def test_run_after_an_interrupted_one_has_its_own_result(self, device, net, monkeypatch, error):
        network, artifact, x, other = net
        device.drain = 50

        def wait(timeout_seconds: float) -> None:
            raise error

        with Session(device, artifact) as session:
            with monkeypatch.context() as patch, pytest.raises(error):
                patch.setattr(device, "wait", wait)
                session.run(x)
            assert device.read(offset("STATUS")) == 0
            assert np.array_equal(session.run(other).outputs, network.run(other))

    def test_run_started_by_another_is_stopped(self, device, net):
        network, artifact, x, _ = net
        device.drain = 5
        with Session(device, artifact) as session:
            device.write(offset("CONTROL"), 1)
            assert np.array_equal(session.run(x).outputs, network.run(x))

    def test_close_stops_the_device_before_it_frees(self, device, net):
        device.drain = 50
        session = Session(device, net[1])
        freed_while = []
        session._data.free = lambda: freed_while.append(device.draining)
        device.write(offset("CONTROL"), 1)
        session.close()
        assert device.writes[-2:] == [(offset("CONTROL"), 4), (offset("CONTROL"), 2)]
        assert freed_while == [0] and device.read(offset("STATUS")) == 0

    @pytest.mark.parametrize("bound", ["IDLE_POLLS", "IDLE_SECONDS"])
    def test_busy_for_ever(self, device, net, monkeypatch, bound):
        monkeypatch.setattr(headrace.session, bound, 0)
        device.registers[offset("STATUS")] = 5
        device.registers[offset("CYCLES")] = 123
        message = "^device fake is busy, error after 123 cycles, stall cycles by lane: 0 0; it does not stop, .* again$"
        session = Session(device, net[1])
        taken = dict(device.memory._taken)
        with pytest.raises(DeviceError, match=message):
            session.run(net[2])
        with pytest.raises(DeviceError, match=message), session:
            pass
        assert device.memory._taken == taken
        assert (offset("CONTROL"), 1) not in device.writes

    def test_the_first_error_is_the_one_reported(self, device, net, monkeypatch):
        monkeypatch.setattr(headrace.session, "IDLE_POLLS", 10)

        def wait(timeout_seconds: float) -> None:
            device.registers[offset("STATUS")] = 1
            raise DeviceError("no interrupt")

        monkeypatch.setattr(device, "wait", wait)
        with (
            pytest.raises(DeviceError, match=r"^no interrupt; device fake is busy"),
            Session(device, net[1]) as session,
        ):
            session.run(net[2])
