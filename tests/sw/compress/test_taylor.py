"""Scores by gradients, and masks over all layers with a floor for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.compress.taylor import DECAY, TaylorScores, taylor_masks


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    density=st.floats(0, 1),
    floor=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_counts_are_exact_and_floors_kept(seed: int, sizes: list[int], density: float, floor: float) -> None:
    rng = np.random.default_rng(seed)
    scores = {str(n): 10.0 ** rng.uniform(-30, 0, size) for n, size in enumerate(sizes)}
    masks = taylor_masks(scores, density, floor)
    least = {
        name: round(max(floor * density, 1 / score.size) * score.size) if density else 0
        for name, score in scores.items()
    }
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    assert all(kept[name] >= least[name] for name in scores)
    assert sum(kept.values()) == max(round(density * sum(sizes)), sum(least.values()))
    for name, score in scores.items():  # what stays of a layer is its highest
        if 0 < kept[name] < score.size:
            assert score[masks[name]].min() >= score[~masks[name]].max()


def test_the_highest_of_all_layers_stay() -> None:
    masks = taylor_masks({"a": [[5.0, 1.0], [4.0, 0.0]], "b": [3.0, 2.0, 0.5, 0.1]}, 0.5, 0.0)
    assert masks["a"].tolist() == [[True, False], [True, False]]
    assert masks["b"].tolist() == [True, True, False, False]
    floor = taylor_masks({"a": [[5.0, 6.0], [4.0, 7.0]], "b": [3.0, 2.0, 0.5, 0.1]}, 0.5, 0.5)
    assert (floor["a"].sum(), floor["b"].tolist()) == (3, [True, False, False, False])
    assert taylor_masks({}, 0.5) == {}


def test_scores_are_squares_of_gradient_times_weight() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[2.0, -3.0]])
    scores = TaylorScores(torch.nn.Sequential(model))
    for x in ([1.0, 2.0], [4.0, 0.0]):
        model.zero_grad()
        model(torch.tensor([x])).sum().backward()  # the gradient is x
        scores.update()
    expected = DECAY * np.array([[4.0, 36.0]]) + (1 - DECAY) * np.array([[64.0, 0.0]])
    assert np.allclose(scores.scores["0"].numpy(), expected)
    again = TaylorScores(torch.nn.Sequential(model))
    again.load(scores.state())
    assert {name: mask.tolist() for name, mask in again.masks(0.5).items()} == {"0": [[False, True]]}
