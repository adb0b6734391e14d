"""What the task and the criterion do together during training, beside the parts that fairseq registers."""
