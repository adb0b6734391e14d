"""Console commands: parse, load, call, print."""
