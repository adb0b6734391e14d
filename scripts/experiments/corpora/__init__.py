"""Benchmark corpora from their published archives to raw splits, subwords and fairseq's binary form."""
