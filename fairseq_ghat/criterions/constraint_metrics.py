"""What the log says of the group constraint, and that it says nothing of it once the constraint is off."""

from fairseq.logging import metrics

# Beside the task's own loss, each averaged over batches by their sample size.
CONSTRAINT_METRICS = ("homogeneity", "diversity", "group_probability", "constraint")


def forget_constraint_metrics() -> None:
    """Takes the constraint out of the training lines; fairseq would print a metric without values as None."""
    for aggregator in ("train", "train_inner"):
        meters = metrics.get_meters(aggregator)
        if meters is None:
            continue
        for name in CONSTRAINT_METRICS:
            meters.pop(name, None)
        meters.priorities[:] = [entry for entry in meters.priorities if entry[-1] not in CONSTRAINT_METRICS]
