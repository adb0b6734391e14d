"""The heads of a layer whose feature maps agree least with each other."""

from functools import partial
from typing import List

import torch
from torch import Tensor

from fairseq_ghat.core.head_scores import agreement, redundancy_scores
from fairseq_ghat.core.subset_search import best_subset
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.importance.base import Importance, Masks


class Disagreement(Importance):
    """Heads whose feature maps agree least with each other; over the whole model, taken away one by one."""

    paper = "Li et al. 2018, section 3.2"
    summary = "cosines between the heads that stay"

    def select(self, calibration: Calibration) -> Masks:
        if self.options.vote_budget == "model":
            return super().select(calibration)
        grams = dict(zip(calibration.layers, self._grams(calibration)))
        heads = self.budget(calibration).heads
        return {layer: best_subset(layer.heads_held, heads, partial(agreement, gram)) for layer, gram in grams.items()}

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return [redundancy_scores(gram) for gram in self._grams(calibration)]

    def _grams(self, calibration: Calibration) -> List[Tensor]:
        """Gram matrix (H, H) of each layer over all data, in float64 on the CPU."""
        sums = {
            calibration.names[layer]: torch.zeros(
                layer.heads_held, layer.heads_held, dtype=torch.float64, device=layer.head_mask.device
            )
            for layer in calibration.layers
        }
        for features in calibration.features():
            for name, gram in features.grams().items():
                sums[name] += gram
        calibration.add_up(*sums.values())
        if not any(gram.any() for gram in sums.values()):
            raise ValueError("cannot choose by disagreement: the pass saw no data")
        return [gram.cpu() for gram in sums.values()]
