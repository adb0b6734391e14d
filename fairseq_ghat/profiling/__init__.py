"""Size and cost of models: parameters, FLOPs, speed and memory."""
