"""Attention that hands out its heads' features and computes only the heads that stay, and layers with it."""
