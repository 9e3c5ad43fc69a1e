"""headrace_hw: the accelerator in Amaranth, and its Verilog."""
