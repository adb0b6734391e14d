"""Benchmarks as commands: settings.yaml read, turned into commands of fairseq, their results put into tables."""
