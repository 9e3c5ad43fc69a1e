"""What devices have in common: register accesses that make sense, and an end."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from ..errors import DeviceError
from ..registers import ADDRESS_BITS

Self = TypeVar("Self", bound="Closing")


class Closing:
    """A context manager that closes. What `close` raises does not hide an error that was raised before."""

    def close(self) -> None:
        """Release what is held; a second call does nothing."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DeviceError:
            if error is None:
                raise


def check_register(offset: int, value: int = 0) -> None:
    """DeviceError unless these are the offset of a register, and 32 bits for it."""
    if offset % 4 or not 0 <= offset < 1 << ADDRESS_BITS:
        raise DeviceError(f"register offset {offset:#x} is not a multiple of 4 below {1 << ADDRESS_BITS:#x}")
    if not 0 <= value < 1 << 32:
        raise DeviceError(f"register value {value:#x} does not fit into 32 bits")
