"""Networks of public benchmarks as `headrace.network.Network`, to measure cycles with.

Each module has `network(path, density) -> Network`: trained weights from the file at `path`, as mlcommons/tiny
publishes them, or seeded random ones where it is None.
"""

from __future__ import annotations
