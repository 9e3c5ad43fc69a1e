"""What to do about operators and networks that the device does not have."""

from __future__ import annotations

from collections.abc import Sequence

ACTIVATIONS = {
    *("leakyrelu", "prelu", "elu", "selu", "celu", "gelu", "silu", "swish", "hardswish", "hardsigmoid", "mish"),
    *("hardtanh", "tanh", "sigmoid", "softplus", "softsign", "thresholdedrelu", "erf", "exp", "log", "sqrt", "pow"),
    *("softmax", "log_softmax", "logsoftmax", "leaky_relu", "hardswish_", "hard_swish", "silu_", "leaky_relu_"),
}
RECURRENT = {"lstm", "gru", "rnn", "scan", "loop", "if", "rnn_tanh", "rnn_relu"}
RESIZE = {"resize", "upsample", "convtranspose", "conv_transpose2d", "conv_transpose1d", "upsample_nearest2d"}
QUANTISED = {
    *("quantizelinear", "dequantizelinear", "qlinearconv", "qlinearmatmul", "convinteger", "matmulinteger"),
    *("quant", "bipolarquant", "dynamicquantizelinear"),
}
NORMALISED = {"layernormalization", "instancenormalization", "groupnormalization", "layer_norm", "group_norm"}


def advice(operator: str) -> str:
    """One phrase: why the operator cannot be run, and what can."""
    key = operator.lower()
    if key in ACTIVATIONS:
        return "the device has ReLU, ReLU6 and other limits; replace it and train again"
    if key in RECURRENT:
        return "the device runs layers in order, without loops or recurrence; use convolutions"
    if key in RESIZE:
        return "the device does not enlarge; end the network before it, and let the host do the rest"
    if key in QUANTISED:
        return "headrace quantises by itself; export the float model"
    if key.startswith(("reflection_pad", "replication_pad", "circular")):
        return "the device pads with 0"
    if key in NORMALISED or key.endswith("norm"):
        return "it depends on the input's own mean; use batch normalisation, which is folded, and train again"
    return "the device does not have it; replace it, or end the network before it"


def one_input(names: Sequence[str]) -> str:
    """Of a network with other inputs than one."""
    reason = f"a network of one input is needed, and this has {', '.join(names) or 'none'}"
    if len(names) < 2:
        return reason
    return f"{reason}; export what reads each of them, and what joins the results, as networks of their own"
