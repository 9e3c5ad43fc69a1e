"""States of the sequencer's machines, which a fault ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth import Module, Value


@contextmanager
def state_until(m: Module, fail: Value, then: str, name: str) -> Iterator[None]:
    """State `name`, which `fail` ends: `then` follows, whatever the state says."""
    with m.State(name):
        yield
        with m.If(fail):
            m.next = then
