"""headrace.compress.constraints, .admm and .rounding: what holds through steps of an optimiser."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from headrace.compress.admm import Admm  # noqa: E402
from headrace.compress.constraints import Constraints, masked, weight_arrays  # noqa: E402
from headrace.compress.prune import magnitude_masks  # noqa: E402
from headrace.compress.rounding import Rounding, rounded_weights  # noqa: E402
from headrace.compress.sharing import Codebook, share_weights  # noqa: E402

OPTIMISERS = {
    "adam with decay": lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
}


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))


def step(model, constraints: Constraints, optimiser, seed: int, rounding: Rounding | None = None) -> float:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(16, 1, 6, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    constraints.before_step()
    optimiser.step()
    constraints.after_step(optimiser)
    return float(loss.detach())


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_masks_survive_momentum_and_decay(make) -> None:
    model = small()
    constraints = Constraints(model)
    optimiser = make(constraints.parameters())
    for seed in range(3):
        step(model, constraints, optimiser, seed)  # momentum is there before the mask
    constraints.set_masks(magnitude_masks(weight_arrays(model), 0.3))
    for seed in range(5):
        step(model, constraints, optimiser, seed)
        for name, part in constraints.modules.items():
            assert not part.weight[~constraints.masks[name]].any()
            assert part.weight[constraints.masks[name]].all()
    for name, part in constraints.modules.items():
        buffers = [v for v in optimiser.state[part.weight].values() if getattr(v, "shape", None) == part.weight.shape]
        assert buffers
        assert not any(value[~constraints.masks[name]].any() for value in buffers)


def test_soft_masks_hide_weights_that_learn_on() -> None:
    model = small()
    constraints = Constraints(model)
    before = weight_arrays(model)
    mask = torch.rand(before["3"].shape) < 0.5
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(16, 1, 6, 6), torch.arange(16) % 3
    with masked(constraints.modules, {"3": mask}):
        assert torch.equal(model[3].weight != 0, mask)
        assert np.array_equal(weight_arrays(model)["0"], before["0"])
        torch.nn.functional.cross_entropy(model(x), y).backward()
    assert np.array_equal(weight_arrays(model)["3"], before["3"])
    assert model[3].weight.grad[~mask].any()
    optimiser.step()
    assert (weight_arrays(model)["3"] != before["3"])[~mask].any()


def test_masks_only_shrink() -> None:
    constraints = Constraints(small())
    first = {"3": np.arange(512).reshape(8, 64) % 2 == 0}
    constraints.set_masks(first)
    constraints.set_masks({"3": np.arange(512).reshape(8, 64) % 3 == 0})
    assert constraints.masks["3"].numpy().ravel().nonzero()[0].tolist() == list(range(0, 512, 6))


def test_centres_learn_by_sums_of_gradients() -> None:
    model = small()
    constraints = Constraints(model)
    labels = {"3": np.arange(512).reshape(8, 64) % 3, "5": np.arange(24).reshape(3, 8) % 3}
    constraints.share([Codebook(np.array([-0.5, 0, 0.25], np.float32), labels, zero=1)])
    optimiser = torch.optim.SGD(constraints.parameters(), 0.1)
    weights = [constraints.modules[name].weight for name in labels]
    for weight, of in zip(weights, labels.values(), strict=True):
        assert np.array_equal(weight.detach().numpy(), np.array([-0.5, 0, 0.25])[of])
    assert not any(p is w for p in constraints.parameters() for w in weights)
    step(model, constraints, optimiser, 1)
    total = np.zeros(3)
    for weight, of in zip(weights, labels.values(), strict=True):
        np.add.at(total, of.ravel(), weight.grad.numpy().ravel().astype(np.float64))
    wanted = np.array([-0.5, 0, 0.25]) - 0.1 * total * [1, 0, 1]
    found = constraints.tied[0].centres.detach().numpy()
    assert np.allclose(found, wanted, atol=1e-6)
    assert all(np.array_equal(w.detach().numpy(), found[n]) for w, n in zip(weights, labels.values(), strict=True))


@pytest.mark.parametrize("scope", ["layer", "kind", "all"])
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_pruned_and_shared_on_a_grid_and_rounded(make, scope: str) -> None:
    model = small()
    constraints = Constraints(model)
    constraints.set_masks(magnitude_masks(weight_arrays(model), 0.5, "global"))
    constraints.share(share_weights(weight_arrays(model), 8, scope=scope, grid=31), grid=31)
    rounding = Rounding(model, set(constraints.modules))
    optimiser = make(constraints.parameters())
    before = weight_arrays(model)
    for seed in range(4):
        with rounding.active():
            step(model, constraints, optimiser, seed)
    for tied in constraints.tied:
        together = torch.cat([part.weight.detach().ravel() for part in tied.modules.values()]).numpy()
        values = np.unique(together)
        assert values.size <= 8
        steps = np.abs(values).max() / np.arange(1, 32)
        assert np.abs(values / steps[:, None] - np.rint(values / steps[:, None])).max(axis=1).min() < 1e-3
    for name, W in weight_arrays(model).items():
        assert np.array_equal(W != 0, constraints.masks[name].numpy())
        assert not np.array_equal(W, before[name])


def test_pruning_after_sharing_is_refused() -> None:
    model = small()
    constraints = Constraints(model)
    constraints.share(share_weights(weight_arrays(model), 4))
    with pytest.raises(ValueError, match="prune first"):
        constraints.set_masks(magnitude_masks(weight_arrays(model), 0.5))


def test_state_comes_back() -> None:
    model, other = small(), small()
    constraints, copy = Constraints(model), Constraints(other)
    constraints.set_masks(magnitude_masks(weight_arrays(model), 0.5))
    constraints.share(share_weights(weight_arrays(model), 6, scope="all", grid=31), grid=31)
    copy.load(constraints.state())
    for a, b in ((model, constraints), (other, copy)):
        optimiser = torch.optim.Adam(b.parameters(), 0.01)
        for seed in range(3):
            step(a, b, optimiser, seed)
    assert all(np.array_equal(W, weight_arrays(other)[name]) for name, W in weight_arrays(model).items())


def test_admm_on_a_problem_with_known_steps() -> None:
    """min 1/2 ||W - A||^2 with one nonzero weight; every quantity by hand for one update."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 1, bias=False))
    A = torch.tensor([[1.0, -3.0, 2.0]])
    model[0].weight.data = A.clone()
    admm = Admm(model, {"0": 1 / 3}, rho=0.5)
    assert admm.Z["0"].tolist() == [[0, -3, 0]]
    assert admm.U["0"].tolist() == [[0, 0, 0]]
    optimiser = torch.optim.SGD(model.parameters(), 0.2)
    for _ in range(300):  # W = (A + rho (Z - U)) / (1 + rho)
        model[0].weight.grad = model[0].weight.detach() - A
        admm.add_gradients()
        optimiser.step()
    W = (A + 0.5 * torch.tensor([[0.0, -3.0, 0.0]])) / 1.5
    assert torch.allclose(model[0].weight, W, atol=1e-5)
    admm.update()
    assert torch.allclose(admm.Z["0"], torch.tensor([[0.0, -3.0, 0.0]]), atol=1e-5)
    assert torch.allclose(admm.U["0"], torch.tensor([[2 / 3, 0.0, 4 / 3]]), atol=1e-5)
    assert admm.masks()["0"].tolist() == [[False, True, False]]
    assert admm.distance() == pytest.approx(float((W * torch.tensor([1, 0, 1])).norm() / W.norm()), rel=1e-4)


def test_admm_projects_on_exactly_so_many() -> None:
    model = small()
    admm = Admm(model, {"3": 0.1, "5": 0.5}, 1e-3)
    assert {name: int(Z.count_nonzero()) for name, Z in admm.Z.items()} == {"3": 51, "5": 12}
    with pytest.raises(ValueError, match="no layer '1'"):
        Admm(model, {"1": 0.1}, 1e-3)


def test_rounding() -> None:
    model = small().eval()
    rounding = Rounding(model, {"5"})
    before = weight_arrays(model)
    x = torch.randn(4, 1, 6, 6)
    plain = model(x)
    with rounding.active():
        inside = weight_arrays(model)
        rounded = model(x)
    assert all(np.array_equal(W, before[name]) for name, W in weight_arrays(model).items())
    assert np.array_equal(inside["5"], before["5"])
    flat = inside["0"].reshape(4, -1) / np.abs(inside["0"].reshape(4, -1)).max(axis=1, keepdims=True) * 127
    assert np.allclose(flat, np.rint(flat), atol=1e-3)
    assert not torch.equal(plain, rounded)
    assert torch.allclose(plain, rounded, atol=0.05)
    assert torch.equal(model(x), plain)  # nothing is left behind
    W = torch.zeros(2, 3)
    assert torch.equal(rounded_weights(W), W)


def test_rounding_passes_gradients_that_are_not_clipped() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False)).eval()
    model[0].weight.data = torch.tensor([[127.0, 64.0]])
    rounding = Rounding(model, set())
    rounding.load({"0": 1.27})
    x = torch.tensor([[0.504, 5.0]], requires_grad=True)
    with rounding.active():
        y = model(x)
        y.backward()
    assert float(y.detach()) == pytest.approx(127 * 0.5 + 64 * 1.27)
    assert x.grad.tolist() == [[127.0, 0.0]]
    assert model[0].weight.grad.flatten().tolist() == pytest.approx([0.5, 1.27])
