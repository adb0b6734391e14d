"""Several linear projections of one input together: q, k and v of self-attention, k and v of cross attention.

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
        with torch.inference_mode(False):  # or gradients could never go through the model again
            weights = _stacked([projection.weight.detach() for projection in projections])  # (J, O, E)
            biases = _stacked([projection.bias.detach() for projection in projections])  # (J, O)
        for projection, weight, bias in zip(projections, weights, biases):
            projection.weight.data, projection.bias.data = weight, bias
        self._addresses = _addresses(projections)
        self.weights, self.biases = weights.transpose(1, 2), biases.unsqueeze(1)  # (J, E, O), (J, 1, O)

    def hold(self, projections: Sequence[nn.Linear]) -> bool:
        """Whether the projections still look into this memory."""
        return self._addresses == _addresses(projections)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """torch.stack, but tensors that lie so already stay where they are: another model may share them."""
    first, size = tensors[0], tensors[0].numel() * tensors[0].element_size()
    lie_so = all(
        tensor.is_contiguous()
        and tensor.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and tensor.data_ptr() == first.data_ptr() + place * size
        for place, tensor in enumerate(tensors)
    )
    if lie_so:
        return first.as_strided((len(tensors), *first.shape), (first.numel(), *first.stride()))
    return torch.stack(list(tensors))


def _addresses(projections: Sequence[nn.Linear]) -> List[int]:
    return [parameter.data_ptr() for projection in projections for parameter in (projection.weight, projection.bias)]


def can_be_joined(projections: Sequence[nn.Module]) -> bool:
    """Whether projections may be computed together: plain, of one size, nobody listening, no autocast, no tracing.

    Hooks, as those of quantization noise, act on calls of a projection; autocast chooses the type within them;
    torch.jit.trace cannot write down a function of our own.
    """
    first = projections[0]
    alike = all(
        type(projection) is nn.Linear
        and projection.bias is not None
        and projection.weight.shape == first.weight.shape
        and not (projection._forward_pre_hooks or projection._forward_hooks or projection._backward_hooks)
        for projection in projections
    )
    return alike and not torch.jit.is_tracing() and not _autocast_on(cast(nn.Linear, first).weight.device.type)


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
        positions = x.reshape(-1, x.size(-1)).expand(len(projections), -1, -1)
        product = torch.baddbmm(joint.biases, positions, joint.weights)  # (J, N, O)
        return product.view(len(product), *x.shape[:2], heads, -1).permute(0, 2, 3, 1, 4).unbind()
    return _JointProduct.apply(x, heads, *(p.weight for p in projections), *(p.bias for p in projections))


class _JointProduct(torch.autograd.Function):
    """One product after the other on the way out, so that no weight is copied; one for all on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, heads: int, *parameters: Tensor) -> Tuple[Tensor, ...]:
        weights, biases = parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]
        ctx.save_for_backward(x, *weights)
        positions, split = x.reshape(-1, x.size(-1)), (*x.shape[:2], heads, -1)
        products = (torch.addmm(bias, positions, weight.t()) for weight, bias in zip(weights, biases))
        return tuple(product.view(split).permute(1, 2, 0, 3) for product in products)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, *weights = ctx.saved_tensors
        count, positions = len(weights), x.reshape(-1, x.size(-1))
        # One copy into the order of the products: (T, B, J, K, D) -> (N, J*O).
        grad = torch.stack([each.permute(2, 0, 1, 3) for each in grads], dim=2).view(len(positions), -1)
        x_grad = (grad @ torch.cat(weights)).view(x.shape) if ctx.needs_input_grad[0] else None
        weight_grads = (grad.t() @ positions).view(count, -1, positions.size(1)).unbind()
        return (x_grad, None, *weight_grads, *grad.sum(0).view(count, -1).unbind())
