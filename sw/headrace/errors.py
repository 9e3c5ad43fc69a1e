"""Errors that a user can cause or meet. Each message is one line and says what to do where something can be done."""

from __future__ import annotations

from collections.abc import Sequence


class HeadraceError(Exception):
    """Base of every error this project raises on purpose; the command line prints it as one line and exits with 1."""


class ConfigError(HeadraceError):
    """A hardware configuration is invalid, or does not match the artifact or the device."""


class FormatError(HeadraceError):
    """A file is truncated, corrupted, of another version, or not of the kind its name says."""


class StreamError(HeadraceError):
    """A weight stream does not decode to the matrix its header promises."""


class CompileError(HeadraceError):
    """A network cannot be placed on the given configuration."""


class ModelError(HeadraceError):
    """A trained network holds what the device cannot run. The message names all of it."""

    def __init__(self, model: str, problems: Sequence[str]) -> None:
        self.problems = tuple("".join(c if c.isprintable() else "?" for c in one) for one in problems)
        """One line each: operator, name, shapes, the reason, and what to do. Names come from a file: no line breaks."""
        count = "" if len(self.problems) == 1 else f"{len(self.problems)} problems: "
        super().__init__(f"{model}: {count}{'; '.join(self.problems)}")


class DataError(HeadraceError):
    """A data set is missing, incomplete, or fails its checksum."""


class DeviceError(HeadraceError):
    """The device stopped with an error code, timed out, or is not the device the artifact was made for."""


class NativeError(HeadraceError):
    """The native kernels were not built, do not load, or are turned off; NumPy does the same, more slowly."""
