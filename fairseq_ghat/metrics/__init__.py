"""Measurements of models and of generation logs."""
