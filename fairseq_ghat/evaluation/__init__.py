"""Scores of translations, summaries and language models."""
