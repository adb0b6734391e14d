"""Reading and writing fairseq checkpoints safely."""
