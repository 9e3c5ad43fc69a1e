"""Pooling of the frameworks as the device's: square maxima of kernel 2 to 11, averages, strides 1 and 2."""

from __future__ import annotations

from dataclasses import replace

from headrace.floats import AveragePool, GlobalAveragePool, MaxPool
from headrace.geometry import Padding, Pair

from .draft import Draft, Node, Unsupported, Value
from .windows import counts, rows, windows

SMALLEST, LARGEST = 2, 11
"""Kernels of the device's maxima."""


def pool(
    draft: Draft,
    node: Node,
    x: Value,
    average: bool,
    kernel: Pair,
    strides: Pair,
    padding: Padding,
    ceil: bool = False,
    count_padding: bool = True,
    dilation: Pair = (1, 1),
) -> Value:
    """Maxima or averages; `ceil`: windows that begin inside and end outside count too."""
    count = len(x.shape) - 1
    shape = rows(x.shape, count)
    size = shape[1], shape[2]
    given = padding
    if ceil:
        padding = _ceil(size, kernel, strides, padding, dilation)
    height, width = counts(size, kernel, strides, padding, dilation)
    output = (shape[0], height, width) if count == 2 else (shape[0], width)
    if dilation != (1, 1) and kernel != (1, 1):
        raise Unsupported(f"pooling with dilation {dilation[0]} x {dilation[1]}; the device has none", output)
    try:
        if not average:
            if kernel == size and not any(padding):
                return global_maximum(draft, node, x, output)
            return _maxima(draft, node, draft.spatial(x), kernel, strides, padding).reshape(output)
        if (any(padding) and not count_padding) or padding != given:
            raise Unsupported("an average that leaves out its padding; set count_include_pad, or do not pad")
        if kernel == size and not any(padding):
            return global_average(draft, node, x, output)
        return _averages(draft, node, draft.spatial(x), kernel, strides, padding).reshape(output)
    except (Unsupported, ValueError) as error:
        raise Unsupported(str(error), output) from None


def global_average(draft: Draft, node: Node, x: Value, output: tuple[int, ...]) -> Value:
    """Over height and width; the result as a tensor of `output`."""
    layer = GlobalAveragePool(draft.unique(node.layer), (draft.spatial(x).layer,))
    return draft.add(layer, output)


def global_maximum(draft: Draft, node: Node, x: Value, output: tuple[int, ...]) -> Value:
    """Over height and width: halved until the device has a kernel that large."""
    shape = rows(x.shape, len(x.shape) - 1)
    x = draft.spatial(x)
    height, width = shape[1], shape[2]
    while max(height, width) > LARGEST:
        x = _maximum(draft, node, x, 2, 2, (0, 0, height % 2, width % 2))
        height, width = -(-height // 2), -(-width // 2)
    kernel = max(height, width)
    if kernel > 1:
        x = _maximum(draft, node, x, kernel, 1, (0, 0, kernel - height, kernel - width))
    return x.reshape(output)


def _maxima(draft: Draft, node: Node, x: Value, kernel: Pair, strides: Pair, padding: Padding) -> Value:
    size = draft.shapes[x.layer][1], draft.shapes[x.layer][2]
    top, left, bottom, right = padding
    if kernel[0] != kernel[1]:  # along an axis of one element, a larger window sees nothing more
        if size[0] == 1 and not (top or bottom) and kernel[0] == 1:
            kernel, bottom = (kernel[1], kernel[1]), kernel[1] - 1
        elif size[1] == 1 and not (left or right) and kernel[1] == 1:
            kernel, right = (kernel[0], kernel[0]), kernel[0] - 1
        else:
            raise Unsupported(f"a maximum of {kernel[0]} x {kernel[1]}; the device has square windows")
    if kernel == (1, 1) and strides == (1, 1) and not any(padding):
        return x
    padding = top, left, bottom, right
    while _halves(kernel, strides, padding, size):
        x = _maximum(draft, node, x, 2, 2, (0, 0, 0, 0))
        kernel, size = (kernel[0] // 2, kernel[1] // 2), (size[0] // 2, size[1] // 2)
        strides = kernel
    if not SMALLEST <= kernel[0] <= LARGEST:
        raise Unsupported(f"a maximum of {kernel[0]} x {kernel[1]}; the device has 2 x 2 to 11 x 11")
    layer = MaxPool(draft.unique(node.layer), (x.layer,), kernel=kernel[0], stride=1, padding=padding)
    return windows(draft, node, lambda stride: replace(layer, stride=stride), size, kernel, strides, padding)


def _maximum(draft: Draft, node: Node, x: Value, kernel: int, stride: int, padding: Padding) -> Value:
    layer = MaxPool(draft.unique(node.layer), (x.layer,), kernel=kernel, stride=stride, padding=padding)
    return draft.add(layer)


def _averages(draft: Draft, node: Node, x: Value, kernel: Pair, strides: Pair, padding: Padding) -> Value:
    size = draft.shapes[x.layer][1], draft.shapes[x.layer][2]
    while _halves(kernel, strides, padding, size):
        x = draft.add(AveragePool(draft.unique(node.layer), (x.layer,)))
        kernel, size = (kernel[0] // 2, kernel[1] // 2), (size[0] // 2, size[1] // 2)
        strides = kernel
    layer = AveragePool(draft.unique(node.layer), (x.layer,), kernel=kernel, stride=1, padding=padding)
    return windows(draft, node, lambda stride: replace(layer, stride=stride), size, kernel, strides, padding)


def _halves(kernel: Pair, strides: Pair, padding: Padding, size: Pair) -> bool:
    """Windows side by side, of an even kernel above 2: as good as 2 x 2 windows first and half the kernel then."""
    fits = kernel == strides and kernel[0] == kernel[1] and not any(padding) and min(size) >= kernel[0]
    return fits and kernel[0] > 2 and kernel[0] % 2 == 0


def _ceil(size: Pair, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Padding:
    """Padding with which every window that begins before the end of the padded image is whole."""
    ends = []
    for axis in (0, 1):
        before, after = padding[axis], padding[axis + 2]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        windows = max(1, -(-(size[axis] + before + after - reach) // strides[axis]) + 1)
        if windows > 1 and (windows - 1) * strides[axis] >= size[axis] + before:
            windows -= 1  # one that would begin in the padding behind
        ends.append(max(after, (windows - 1) * strides[axis] + reach - size[axis] - before))
    return padding[0], padding[1], ends[0], ends[1]
