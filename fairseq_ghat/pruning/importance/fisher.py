"""Units whose masks the loss feels least, by the Fisher information, then swapped for each other (Kwon et al. 2022)."""

from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Sequence

import torch
from torch import Tensor

from fairseq_ghat.core.mask_rearrangement import rearrange
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.pruning.calibration import Calibration, Layer, in_parts
from fairseq_ghat.pruning.importance.base import Importance, Masks, Ranking
from fairseq_ghat.pruning.importance.gradients import sentence_gradients


@dataclass
class FisherInformation(Importance):
    """Importance of a unit: the squared gradient of a sentence's loss by the unit's mask, summed over sentences.

    That is the diagonal of the Fisher matrix G^T G, (U, U) of each layer, with the gradients G of all sentences. Once
    the numbers of units are known, those of a layer are swapped for each other by the whole matrix.

    Their search of masks within FLOPs tries every number of heads and fills up with neurons. Here units go by their
    importance for each unit of what they save, which differs by the last unit at most; but each layer keeps a unit, and
    layers of a side may have one width (`--ffn-per-layer`). Their tuning of the masks is replaced by the refit. Their
    code takes gradients by batch, the paper by sentence, as here.

    Attributes:
        matrices: of the layers that were asked for, if memory allows to keep them.
    """

    matrices: Dict[RemovableUnits, Tensor] = field(default_factory=dict, init=False, repr=False)

    paper = "Kwon et al. 2022, section 5"
    summary = "squared gradients of the loss by the unit's mask"
    uses_loss = True
    ranks_units = True

    def select(self, calibration: Calibration) -> Masks:
        return self.rearranged(calibration, super().select(calibration))

    def scores(self, calibration: Calibration) -> List[Tensor]:
        return list(self._importances(calibration, calibration.layers).values())

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        rankings = {}
        for layer, importance in self._importances(calibration, layers).items():
            ascending, order = importance.sort(stable=True)
            rankings[layer] = Ranking(order, ascending.cumsum(0))
        return rankings

    def rearranged(self, calibration: Calibration, masks: Dict[Layer, Tensor]) -> Dict[Layer, Tensor]:
        return {
            layer: rearrange(matrix, masks[layer])
            for part in self._fisher(calibration, list(masks))
            for layer, matrix in part.items()
        }

    def _importances(self, calibration: Calibration, layers: Sequence[Layer]) -> Dict[Layer, Tensor]:
        """(U,) float64 of each layer."""
        parts = self._fisher(calibration, layers)
        return {layer: matrix.diagonal().clone() for part in parts for layer, matrix in part.items()}

    def _fisher(self, calibration: Calibration, layers: Sequence[Layer]) -> Iterator[Dict[Layer, Tensor]]:
        """Fisher matrices (U, U) in float64 on the CPU, of as many layers at a time as memory allows; each time of a
        pass of their own, unless they were kept."""
        if all(layer in self.matrices for layer in layers):
            yield {layer: self.matrices[layer] for layer in layers}
            return
        parts = in_parts(list(layers), lambda layer: layer.units)
        for part in parts:
            matrices = _fisher_matrices(calibration, part)
            if len(parts) == 1:
                self.matrices.update(matrices.items())
            yield matrices


def _fisher_matrices(calibration: Calibration, layers: Sequence[Layer]) -> Dict[Layer, Tensor]:
    """G^T G of each layer over the sentences of all workers, in one pass."""
    device = layers[0].projection.weight.device
    sums = [torch.zeros(layer.units, layer.units, dtype=torch.float64, device=device) for layer in layers]
    sentences = torch.zeros((), dtype=torch.float64, device=device)
    for gradients in sentence_gradients(calibration, layers, {}):
        for total, gradient in zip(sums, gradients):
            total.addmm_(gradient.double().T, gradient.double())
        sentences += len(gradients[0])
    calibration.add_up(sentences, *sums)
    if not sentences:
        raise ValueError("cannot choose by fisher: the pass saw no data")
    return {layer: total.cpu() for layer, total in zip(layers, sums)}
