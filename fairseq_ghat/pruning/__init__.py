"""Head masks in a model or a checkpoint, and the removal of heads for good."""
