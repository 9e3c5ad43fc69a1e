"""Two networks in one set of weights: the student of kept ones, the teacher that trains the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headrace.compress.pqk import TEMPERATURE, Pqk, distillation  # noqa: E402
from headrace.compress.rounding import Rounding  # noqa: E402


def small() -> tuple[Any, Pqk, Any, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = torch.nn.Sequential(
            *(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()),
            torch.nn.Linear(16, 3),
        )
        x, labels = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    return model, Pqk(model, Rounding(model, set())), x, labels


def gradients(model: Any) -> dict[str, Any]:
    return {name: value.grad.clone() for name, value in model.named_parameters()}


def test_counts_are_exact_and_weights_may_return() -> None:
    model, pqk, x, labels = small()
    pqk.prune(0.5)
    assert sum(int(mask.sum()) for mask in pqk.masks.values()) == round(0.5 * (36 + 48))
    pruned = ~pqk.masks["4"]
    pqk.backward_alone(x, labels, returning=True)
    assert model[4].weight.grad[pruned].any()  # it learns on
    model[4].weight.data[pruned] = 10.0
    pqk.prune(0.5)
    assert pqk.masks["4"][pruned].all()


def test_relative_magnitudes_do_not_depend_on_the_scales_of_channels() -> None:
    model, pqk, _, _ = small()
    pqk.prune(0.5, relative=True)
    before = {name: mask.clone() for name, mask in pqk.masks.items()}
    model[0].weight.data *= 2.0 ** torch.tensor([-6, 0, 3, 7])[:, None, None, None]
    pqk.prune(0.5, relative=True)
    assert all(torch.equal(mask, before[name]) for name, mask in pqk.masks.items())
    pqk.prune(0.5)
    assert not all(torch.equal(mask, before[name]) for name, mask in pqk.masks.items())


def test_zero_stays_zero_for_the_student() -> None:
    model, pqk, _, _ = small()
    dense = model[4].weight.detach().clone()
    pqk.prune(0.3)
    with pqk.student():
        for name in ("0", "4"):
            assert not model[int(name)].weight[~pqk.masks[name]].any()
            rows = model[int(name)].weight.detach().reshape(len(model[int(name)].weight), -1)
            assert all(len(np.unique(row.abs().numpy())) <= 128 for row in rows)
    assert torch.equal(model[4].weight, dense)


def test_gradients_of_student_and_teacher_are_disjoint() -> None:
    model, pqk, x, labels = small()
    pqk.prune(0.5)
    model.zero_grad()
    pqk.backward_alone(x, labels, returning=False)
    alone = gradients(model)
    statistics = model[1].running_mean.clone()
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    teacher = gradients(model)
    model.zero_grad()
    pqk.backward_both(x, labels)
    both = gradients(model)
    for name in ("0", "4"):
        mask, of_both = pqk.masks[name], both[f"{name}.weight"]
        assert not alone[f"{name}.weight"][~mask].any()
        assert torch.equal(of_both[~mask], teacher[f"{name}.weight"][~mask])
        assert of_both[mask].any() and not torch.equal(of_both[mask], teacher[f"{name}.weight"][mask])
    assert not torch.equal(model[1].running_mean, statistics)  # by the student's passes


def test_the_teacher_leaves_no_trace_in_statistics() -> None:
    one, pqk, x, labels = small()
    other, alone, _, _ = small()
    for each in (pqk, alone):
        each.prune(0.5)
    pqk.backward_both(x, labels)
    alone.backward_alone(x, labels, returning=False)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    assert pqk.rounding.largest == alone.rounding.largest


def test_distillation_in_a_closed_form() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = 1 / (1 + np.exp(-2.0 / TEMPERATURE))
    expected = TEMPERATURE**2 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    assert float(distillation(student, teacher)) == pytest.approx(expected)
    assert float(distillation(teacher, teacher)) == pytest.approx(0, abs=1e-6)


def test_state_holds_all_weights() -> None:
    model, pqk, _, _ = small()
    pqk.prune(0.4)
    state = {key: {name: value.clone() for name, value in part.items()} for key, part in pqk.state().items()}
    pqk.prune(1.0)
    model[0].weight.data.zero_()
    pqk.load(state)
    assert torch.equal(model[0].weight, state["dense"]["0"]) and torch.equal(pqk.masks["0"], state["masks"]["0"])
