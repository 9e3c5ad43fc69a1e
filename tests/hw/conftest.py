"""Of the nine pairs of patterns at a block's two ends, the quick part runs the three equal ones."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        ends = getattr(item, "callspec", None) and item.callspec.params
        if ends and "source" in ends and "sink" in ends and ends["source"] != ends["sink"]:
            item.add_marker(pytest.mark.slow)
