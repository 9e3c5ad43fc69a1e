"""headrace: pruned, weight-shared CNNs on a small FPGA, straight from their entropy-coded form."""

__version__ = "0.1.0"
