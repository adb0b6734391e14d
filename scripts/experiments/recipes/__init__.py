"""Benchmarks as commands: settings.yaml read, turned into commands of fairseq, shown or run."""
