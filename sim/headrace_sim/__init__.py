"""headrace_sim: the accelerator in Verilator, with a memory, in this process."""
