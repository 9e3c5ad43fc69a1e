"""Iterative magnitude pruning: exact counts, masks that only shrink, layers that are exempt, rotations."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headrace.compress.constraints import weight_arrays  # noqa: E402
from headrace.compress.tickets import (  # noqa: E402
    density,
    full_masks,
    permuted,
    prunable,
    prune_round,
    reset,
    rotation_loss,
    rotations,
    set_classes,
)
from headrace.nets import build  # noqa: E402


def counts(masks: dict[str, np.ndarray]) -> list[int]:
    return [int(np.count_nonzero(mask)) for mask in masks.values()]


def test_the_last_layer_normalisations_and_fixed_shortcuts_are_exempt() -> None:
    network = build("resnet20")
    names = prunable(network)
    assert len(names) == 19 and "linear" not in names
    assert all("conv" in name for name in names)
    assert list(full_masks(network)) == names and density(full_masks(network)) == 1.0


def test_rounds_prune_exactly_a_fifth_and_masks_only_shrink() -> None:
    network = build("resnet20")
    masks, generator = full_masks(network), np.random.default_rng(3)
    kept = sum(counts(masks))
    for _ in range(6):
        weights = {name: generator.normal(size=mask.shape) for name, mask in masks.items()}
        smaller = prune_round(weights, masks)
        kept -= round(0.2 * kept)
        assert sum(counts(smaller)) == kept
        assert all(not (smaller[name] & ~masks[name]).any() for name in masks)
        worst = min(np.abs(weights[name])[mask].min() for name, mask in smaller.items() if mask.any())
        gone = max(np.abs(weights[name])[masks[name] & ~smaller[name]].max(initial=0) for name in masks)
        assert gone <= worst
        masks = smaller
    assert density(masks) == kept / sum(mask.size for mask in masks.values())


def test_equal_weights_give_exact_counts_and_the_old_masks_stay() -> None:
    masks = {"a": np.ones((3, 5), bool), "b": np.ones(8, bool)}
    smaller = prune_round({"a": np.ones((3, 5)), "b": np.ones(8), "head": np.zeros(4)}, masks, 0.5)
    assert counts(smaller) == [12, 0] or counts(smaller) == [11, 0]
    assert sum(counts(smaller)) == 23 - round(0.5 * 23)
    assert counts(masks) == [15, 8]


def test_nothing_and_everything_can_be_pruned() -> None:
    masks = {"a": np.ones(5, bool)}
    weights = {"a": np.arange(5.0)}
    assert counts(prune_round(weights, masks, 0.0)) == [5]
    none = prune_round(weights, masks, 1.0)
    assert counts(none) == [0] and counts(prune_round(weights, none)) == [0]
    assert prune_round({}, {}) == {} and density({}) == 1.0


def test_bad_rounds_are_refused() -> None:
    masks = {"a": np.ones(5, bool)}
    with pytest.raises(ValueError, match="fraction"):
        prune_round({"a": np.ones(5)}, masks, 1.5)
    with pytest.raises(ValueError, match="no weights"):
        prune_round({"b": np.ones(5)}, masks)
    with pytest.raises(ValueError, match="no weights"):
        prune_round({"a": np.ones(4)}, masks)
    with pytest.raises(ValueError, match="NaN"):
        prune_round({"a": np.full(5, np.nan)}, masks)


def test_permutation_keeps_the_count_of_each_layer() -> None:
    generator = np.random.default_rng(5)
    masks = {name: generator.random((8, 4, 3, 3)) < rate for name, rate in (("a", 0.1), ("b", 0.7))}
    control = permuted(masks, 1)
    assert counts(control) == counts(masks)
    assert all(control[name].shape == mask.shape and (control[name] != mask).any() for name, mask in masks.items())
    assert all(np.array_equal(control[name], again) for name, again in permuted(masks, 1).items())
    assert any((control[name] != other).any() for name, other in permuted(masks, 2).items())


def test_reset_gives_early_weights_with_the_mask() -> None:
    torch.manual_seed(1)
    early, late = build("resnet20"), build("resnet20")
    masks = prune_round(weight_arrays(late), full_masks(late), 0.6)
    reset(late, early.state_dict(), masks)
    wanted = early.state_dict()
    for name, value in late.state_dict().items():
        layer = name.removesuffix(".weight")
        mask = torch.from_numpy(masks[layer]) if layer in masks else torch.ones_like(value)
        assert torch.equal(value, wanted[name] * mask)


def test_reset_leaves_a_last_layer_of_another_task() -> None:
    torch.manual_seed(2)
    pretext, labels = build("resnet20"), build("resnet20")
    set_classes(pretext, 4)
    head = labels.linear.weight.clone()
    reset(labels, pretext.state_dict(), {})
    assert torch.equal(labels.linear.weight, head)
    assert torch.equal(labels.conv1.weight, pretext.conv1.weight)
    short = {name: value for name, value in pretext.state_dict().items() if name != "conv1.weight"}
    with pytest.raises(ValueError, match=r"no 'conv1.weight' of shape \(16, 3, 3, 3\)"):
        reset(labels, short, {})


def test_rotations_are_quarter_turns_counterclockwise() -> None:
    x = torch.tensor([[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]])
    turned, labels = rotations(x)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert turned[0::2, 0].tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    for label, picture in zip(labels.tolist(), turned, strict=True):
        assert np.array_equal(np.rot90(picture[0], -label), x[(picture.max() > 4).long(), 0])
    with pytest.raises(ValueError, match="to rotate"):
        rotations(torch.zeros(1, 1, 2, 3))


def test_rotation_loss_needs_four_outputs_and_no_labels() -> None:
    torch.manual_seed(3)
    network = build("resnet20").train()
    set_classes(network, 4)
    x = torch.randn(3, 3, 32, 32)
    assert network(x).shape == (3, 4)
    loss = rotation_loss(network, x)
    loss.backward()
    assert loss.item() > 0 and float(network.conv1.weight.grad.abs().sum()) > 0
    with pytest.raises(ValueError, match="no Linear"):
        set_classes(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), 2)
