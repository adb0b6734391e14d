"""Models that leave fairseq."""
