"""A virtual board: PYNQ's remote protocol in front of the simulated accelerator and its DRAM."""
