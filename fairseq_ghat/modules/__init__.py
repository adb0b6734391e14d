"""Attention that hands over the features of its heads and computes only those that stay, and layers with it."""
