"""Several linear projections of one input in one product: q, k and v of self-attention, k and v of cross attention.

Letters: J projections, N positions, E input width, O output width.
"""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class JointWeights:
    """Weights of J projections that lie in one piece of memory, so that no forward pass has to copy them together.

    The projections themselves then look into that memory, until they are moved, as by .half() or .to(device).

    Args:
        projections: that can_be_joined.
    """

    def __init__(self, projections: Sequence[nn.Linear]):
        weights = torch.stack([projection.weight.detach() for projection in projections])  # (J, O, E)
        biases = torch.stack([projection.bias.detach() for projection in projections])  # (J, O)
        for projection, weight, bias in zip(projections, weights, biases):
            projection.weight.data, projection.bias.data = weight, bias
        self._addresses = _addresses(projections)
        self.weights, self.biases = weights.transpose(1, 2), biases.unsqueeze(1)  # (J, E, O), (J, 1, O)

    def hold(self, projections: Sequence[nn.Linear]) -> bool:
        """Whether the projections still look into this memory."""
        return self._addresses == _addresses(projections)


def _addresses(projections: Sequence[nn.Linear]) -> List[int]:
    return [parameter.data_ptr() for projection in projections for parameter in (projection.weight, projection.bias)]


def can_be_joined(projections: Sequence[nn.Module]) -> bool:
    """Whether projections may be computed as one product: plain, of one size, nobody listening, no autocast.

    Hooks, as those of quantization noise, act on calls of a projection; autocast chooses the type within them.
    """
    if torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled():
        return False
    first = projections[0]
    return all(
        type(projection) is nn.Linear
        and projection.bias is not None
        and projection.weight.shape == first.weight.shape
        and not (projection._forward_pre_hooks or projection._forward_hooks or projection._backward_hooks)
        for projection in projections
    )


def project_jointly(x: Tensor, projections: Sequence[nn.Linear], joint: Optional[JointWeights] = None) -> Tensor:
    """The projections of one input, differentiable once.

    Args:
        x: (..., E), N positions in all.
        projections: J of them, that can_be_joined.
        joint: their weights in one piece; None to copy them together.

    Returns:
        (J, N, O).
    """
    positions = x.reshape(-1, x.size(-1))
    if joint is not None:
        return torch.baddbmm(joint.biases, positions.expand(len(projections), -1, -1), joint.weights)
    parameters = (*(p.weight for p in projections), *(p.bias for p in projections))
    return _JointProduct.apply(positions, *parameters)


class _JointProduct(torch.autograd.Function):
    """Keeps the input and the parameters for the backward pass, not the copies of the parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        count = len(parameters) // 2
        ctx.save_for_backward(x, *parameters[:count])
        weights, biases = torch.stack(parameters[:count]), torch.stack(parameters[count:])
        return torch.baddbmm(biases.unsqueeze(1), x.expand(count, -1, -1), weights.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, *weights = ctx.saved_tensors
        x_grad = None
        if ctx.needs_input_grad[0]:
            of_each = grad.unbind()
            x_grad = of_each[0] @ weights[0]
            for one, weight in zip(of_each[1:], weights[1:]):
                x_grad.addmm_(one, weight)
        weight_grads = torch.bmm(grad.transpose(1, 2), x.expand(len(weights), -1, -1)).unbind()
        return (x_grad, *weight_grads, *grad.sum(1).unbind())
