"""Compression with training, as a recipe says: stages of training, pruning and sharing, and what came of them."""
