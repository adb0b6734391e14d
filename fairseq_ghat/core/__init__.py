"""The paper's mathematics on tensors. Knows torch only, never fairseq."""
