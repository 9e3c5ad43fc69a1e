"""Measures of accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.errors import DataError
from headrace.evaluate import auc, compare, concordance_index, mean_squared_error, top1


def test_top1():
    outputs = np.array([[1.0, 3, 3], [5, 1, 2], [0, 0, 1], [2, 2, 2]])
    assert top1(outputs, np.array([1, 0, 1, 0])) == 0.75
    assert top1(outputs.reshape(4, 3, 1, 1), np.array([2, 0, 2, 1])) == 0.5


def test_top1_wants_a_label_for_each_of_several_classes():
    outputs = np.array([[1.0, 3], [5, 1]])
    assert top1(outputs, np.array([[1], [1]])) == 0.5
    for wrong in (np.eye(2), np.zeros(1), np.zeros(3)):
        with pytest.raises(DataError, match="are not one for each of 2 samples"):
            top1(outputs, wrong)
    with pytest.raises(DataError, match="two outputs or more"):
        top1(outputs[:, :1], np.zeros(2))


@pytest.mark.parametrize("columns", [1, 2])
def test_auc_counts_pairs(columns: int):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    outputs = rng.integers(-5, 6, (60, columns)) + labels[:, None] * np.array([0, 2])[-columns:]
    scores = outputs[:, -1] - (outputs[:, 0] if columns == 2 else 0)
    positive, negative = scores[labels == 1, None], scores[labels == 0]
    wanted = ((positive > negative) + 0.5 * (positive == negative)).mean()
    assert auc(outputs.astype(float), labels) == pytest.approx(wanted, abs=1e-12)
    assert auc(outputs.astype(float), labels[:, None]) == auc(outputs.astype(float), labels)


def test_auc_needs_two_classes():
    for outputs, labels in ((np.zeros((2, 1)), [0, 0]), (np.zeros((2, 3)), [0, 1]), (np.zeros((2, 1)), [1, 2])):
        with pytest.raises(DataError, match="area under the curve"):
            auc(outputs, np.array(labels))


def test_mean_squared_error():
    assert mean_squared_error(np.array([[1.0], [2.0]]), np.array([0, 4])) == 2.5
    assert mean_squared_error(np.ones((2, 2)), np.array([[1, 1], [1, 3]], np.uint8)) == 1
    with pytest.raises(DataError, match="do not fit"):
        mean_squared_error(np.ones((2, 2)), np.ones(2))


def test_concordance_index_counts_pairs():
    assert concordance_index(np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 6.0, 6.0])) == 1
    assert concordance_index(np.array([[1.0], [1.0], [3.0]]), np.array([7.0, 6.0, 6.5])) == 0.5
    rng = np.random.default_rng(1)
    outputs, labels = rng.integers(0, 9, (50, 1)).astype(float), rng.integers(0, 9, 50)
    below = labels[:, None] < labels
    wins = (outputs < outputs.T) + 0.5 * (outputs == outputs.T)
    assert concordance_index(outputs, labels) == wins[below].sum() / below.sum()
    assert concordance_index(outputs, labels[:, None]) == concordance_index(outputs, labels)


def test_concordance_index_needs_an_order():
    for outputs, labels, reason in (
        (np.zeros((2, 1)), [1, 1], "two labels or more"),
        (np.zeros((0, 1)), [], "two labels or more"),
        (np.zeros((2, 3)), [0, 1], r"one output a sample, not of \(3,\)"),
        (np.zeros((2, 1)), [0, 1, 2], "one for each"),
    ):
        with pytest.raises(DataError, match=reason):
            concordance_index(outputs, np.array(labels))


def test_compare_wants_a_quantisation_of_the_same_network():
    from headrace.quantisation import quantise
    from real_graphs import chain, images, residual

    network, report = quantise(chain(), images(4))
    with pytest.raises(DataError, match="is no quantisation of"):
        compare(residual(), network, report.scales, images(2))
    with pytest.raises(DataError, match="its scales"):
        compare(chain(), network, {}, images(2))
