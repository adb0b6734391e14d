"""Several linear projections of one input in one product: q, k and v of self-attention, k and v of cross attention.

Letters: J projections, T positions of B sentences, N = T*B, E input width, K heads of width D, O = K*D.
"""

from typing import Any, List, Optional, Sequence, Tuple, cast

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
    first = projections[0]
    alike = all(
        type(projection) is nn.Linear
        and projection.bias is not None
        and projection.weight.shape == first.weight.shape
        and not (projection._forward_pre_hooks or projection._forward_hooks or projection._backward_hooks)
        for projection in projections
    )
    return alike and not _autocast_on(cast(nn.Linear, first).weight.device.type)


def _autocast_on(device: str) -> bool:
    if device == "meta":  # which autocast does not know
        return False
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:  # torch before 2.4 asks by another function
        return torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled()


def project_jointly(
    x: Tensor, projections: Sequence[nn.Linear], heads: int, joint: Optional[JointWeights] = None
) -> Sequence[Tensor]:
    """The projections of one input, split into heads; differentiable once.

    Args:
        x: (T, B, E).
        projections: J of them, that can_be_joined.
        heads: K.
        joint: their weights in one piece; None to copy them together.

    Returns:
        (B, K, T, D) of each projection.
    """
    if joint is not None:
        return _split(torch.baddbmm(joint.biases, _of_each(x, len(projections)), joint.weights), x, heads)
    return _JointProduct.apply(x, heads, *(p.weight for p in projections), *(p.bias for p in projections))


def _of_each(x: Tensor, count: int) -> Tensor:
    """(T, B, E) -> (J, N, E), the same memory J times."""
    return x.reshape(-1, x.size(-1)).expand(count, -1, -1)


def _split(product: Tensor, x: Tensor, heads: int) -> Sequence[Tensor]:
    """(J, N, O) -> (B, K, T, D) of each projection; x: (T, B, E)."""
    return product.view(len(product), *x.shape[:2], heads, -1).permute(0, 2, 3, 1, 4).unbind()


class _JointProduct(torch.autograd.Function):
    """Keeps the input and the parameters for the backward pass, not the copies of the parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, heads: int, *parameters: Tensor) -> Sequence[Tensor]:
        count = len(parameters) // 2
        ctx.save_for_backward(x, *parameters[:count])
        weights, biases = torch.stack(parameters[:count]), torch.stack(parameters[count:])
        product = torch.baddbmm(biases.unsqueeze(1), _of_each(x, count), weights.transpose(1, 2))
        return _split(product, x, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, *weights = ctx.saved_tensors
        # One copy, into the order of the product: (J, T, B, K, D) -> (J, N, O).
        grad = torch.stack([each.permute(2, 0, 1, 3) for each in grads]).view(len(weights), -1, len(weights[0]))
        x_grad = None
        if ctx.needs_input_grad[0]:
            of_each = grad.unbind()
            x_grad = of_each[0] @ weights[0]
            for one, weight in zip(of_each[1:], weights[1:]):
                x_grad.addmm_(one, weight)
            x_grad = x_grad.view(x.shape)
        weight_grads = torch.bmm(grad.transpose(1, 2), _of_each(x, len(weights))).unbind()
        return (x_grad, None, *weight_grads, *grad.sum(1).unbind())
