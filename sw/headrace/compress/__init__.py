"""Compression of trained weights: pruning, weight sharing, quantisation to the device's integers."""
