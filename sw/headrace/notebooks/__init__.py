"""Notebooks for a PYNQ board, which `pynq get-notebooks headrace` copies to where Jupyter finds them."""
