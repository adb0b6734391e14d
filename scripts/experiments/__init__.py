"""Experiments as commands: corpora, recipes of the paper, and the comparison of ways to choose heads."""
