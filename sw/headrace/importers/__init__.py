"""Importers: files of trained networks become `headrace.floats.FloatGraph`."""
