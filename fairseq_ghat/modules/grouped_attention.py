"""Multi-head attention with grouped heads (GHA and GHA-PS of the paper)."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from fairseq.modules import MultiheadAttention
from torch import Tensor, nn

from fairseq_ghat.modules.attention_kernels import (
    PRODUCTS,
    Masks,
    choose_kernel,
    fused_attention,
    join_heads,
    product_attention,
    split_heads,
)
from fairseq_ghat.modules.attention_masks import queries_without_keys
from fairseq_ghat.modules.head_features import HeadMaps, RecordedFeatures
from fairseq_ghat.modules.joint_projection import JointWeights, can_be_joined, project_jointly
from fairseq_ghat.modules.unit_slices import (
    INPUT_PROJECTIONS,
    OUTPUT_PROJECTION,
    cut_projections,
    kept_features,
)

HEAD_MASK = "head_mask"
# Values of a head mask. Two tell that a vote has taken place, also where every head stays.
VOTED_OUT, NO_VOTE_YET, VOTED_TO_STAY = 0.0, 1.0, 2.0


class GroupedAttention(MultiheadAttention):
    """fairseq's multi-head attention, the same numbers, with three things more.

    It hands over the feature maps of its heads where asked (RecordedFeatures); its projections can be cut down to
    some of the heads, as a vote does (`remove_units`); and it can compute some of the heads it holds
    (`set_head_mask`), by gathering their rows and columns of the projections: to measure what would be if the others
    were gone, and for checkpoints of earlier versions, whose vote left a mask.

    Letters: B sentences, T queries, S keys, E model width, K heads computed, D head width.

    Attributes:
        num_heads: k, the heads the layer was made with; stays when heads are masked or removed.
        head_mask: buffer of one number per head the projections hold, the record of a vote: NO_VOTE_YET,
            VOTED_TO_STAY, or VOTED_OUT for a head that is held and not computed. Floating, since a shadow model
            (--store-ema) blends all of a state dict.
        recorder: takes the feature maps of each forward pass; None while nobody records.
        kernel: that computed the latest forward pass, see choose_kernel; None before the first.
        step_weights: whether a decoding step hands out attention weights when asked, as fairseq's always does.

    Raises:
        ValueError: for xFormers attention, bias_kv or zero attention, which bypass the heads' features.
    """

    head_mask: Tensor
    _kept_features: Optional[Tensor]
    # torch.jit.trace would compile all properties that are not named here.
    __jit_unused_properties__ = [
        *("heads_held", "heads_computed", "voted", "_projections"),
        *("units", "unit_features", "holder", "projection"),
    ]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.use_xformers:
            raise ValueError("grouped attention does not work with --*-xformers-att-config")
        if self.bias_k is not None or self.add_zero_attn:
            raise ValueError("grouped attention does not work with add_bias_kv or add_zero_attn")
        self.recorder: Optional[RecordedFeatures] = None
        self.step_weights = True
        self.kernel: Optional[str] = None
        self._joint: Optional[JointWeights] = None
        self.register_buffer(HEAD_MASK, torch.full((self.num_heads,), NO_VOTE_YET))
        self._voted = False
        # Feature indexes (K*D) of the heads that stay; None while all do.
        self.register_buffer("_kept_features", None, persistent=False)

    # ------------------------------------------------------------------ which heads

    @property
    def heads_held(self) -> int:
        """Heads the projections hold weights for."""
        return self.head_mask.numel()

    @property
    def heads_computed(self) -> int:
        """K, heads the forward pass computes."""
        if self._kept_features is None:
            return self.heads_held
        return self._kept_features.numel() // self.head_dim

    @property
    def units(self) -> int:
        """As RemovableUnits: its units are the heads."""
        return self.heads_held

    @property
    def unit_features(self) -> int:
        """As RemovableUnits."""
        return self.head_dim

    @property
    def holder(self) -> nn.Module:
        """As RemovableUnits."""
        return self

    @property
    def projection(self) -> nn.Linear:
        """As RemovableUnits."""
        return self.out_proj

    @property
    def voted(self) -> bool:
        """Whether a vote has taken place, or heads were removed. Costs no look at the device."""
        return self._voted

    def check_head_mask(self, mask: Tensor, may_be_empty: bool = False) -> None:
        """Raises ValueError if a mask has another length, or keeps no head and may not be empty."""
        if mask.shape != self.head_mask.shape:
            raise ValueError(f"head mask of {mask.numel()} heads for {self.heads_held} heads")
        if not may_be_empty and not bool(mask.any()):
            raise ValueError("a head mask must keep at least one head")

    def set_head_mask(self, mask: Tensor, may_be_empty: bool = False) -> None:
        """Computes only the heads of a mask from now on.

        Args:
            mask: (heads_held,), non-zero for heads that stay.
            may_be_empty: whether no head need stay.

        Raises:
            ValueError: if the mask has another length, or keeps no head and may not be empty.
        """
        self.check_head_mask(mask, may_be_empty)
        self.head_mask.copy_(torch.where(mask.to(self.head_mask.device).bool(), VOTED_TO_STAY, VOTED_OUT))
        self._follow_head_mask()

    def _follow_head_mask(self) -> None:
        if self.head_mask.is_meta:  # a model built for its shapes alone: there are no values to follow
            return
        kept = self.head_mask != VOTED_OUT
        self._kept_features = None if bool(kept.all()) else kept_features(kept, self.head_dim)
        self._voted = self.heads_held < self.num_heads or bool((self.head_mask != NO_VOTE_YET).any())

    def remove_units(self, kept: Sequence[int]) -> None:
        """Cuts the projections down to the heads that stay, for good, and records that a vote took place.

        Args:
            kept: indexes of the heads among those held, increasing.
        """
        mask = torch.zeros(self.heads_held, dtype=torch.bool, device="cpu")
        mask[list(kept)] = True
        cut_projections(self, (*INPUT_PROJECTIONS, OUTPUT_PROJECTION), kept_features(mask, self.head_dim))
        self.head_mask = torch.full_like(self.head_mask[: len(kept)], VOTED_TO_STAY)
        self._kept_features, self._voted = None, True

    def _adaptive_prune_heads(self, reserve_head_index: List[Tuple[int, int]]) -> None:
        """fairseq's AdaPrune: keeps the heads that own these features (first, one after the last)."""
        self.remove_units(sorted(first // self.head_dim for first, _ in reserve_head_index))

    def __prepare_scriptable__(self):
        raise RuntimeError(
            "torch.jit.script: not with grouped attention; allowed is torch.jit.trace, or ghat-export for serving"
        )

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        # Checkpoints of a stock fairseq transformer have no mask: all their heads stay.
        mask = state_dict.get(prefix + HEAD_MASK, torch.full_like(self.head_mask, NO_VOTE_YET))
        state_dict[prefix + HEAD_MASK] = _unblended(mask)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._follow_head_mask()

    # ------------------------------------------------------------------ forward

    def make_generation_fast_(self, **kwargs: Any) -> None:
        """fairseq calls this before it generates: q, k and v, in cross attention k and v, become one product."""
        projections = self._projections[0 if self.self_attention else 1 :]
        if can_be_joined(projections):
            self._joint = JointWeights(projections)

    @property
    def _projections(self) -> List[nn.Linear]:
        return [self.q_proj, self.k_proj, self.v_proj]

    def _project(self, x: Tensor, projections: List[nn.Linear], step: bool) -> Sequence[Tensor]:
        """(T, B, E) -> (B, K, T, D) of each projection, only the heads that stay.

        step: whether this is a step of decoding.
        """
        joint = None if torch.is_grad_enabled() else self._joint
        # Without joint weights only the way back is shorter together, and a step of decoding has none.
        together = len(projections) > 1 and self._kept_features is None and not (step and joint is None)
        if not (together and can_be_joined(projections)):
            return [split_heads(self._project_in(projection, x), self.head_dim) for projection in projections]
        if joint is not None and not joint.hold(projections):
            joint = self._joint = JointWeights(projections)
        return project_jointly(x, projections, self.heads_computed, joint)

    def _project_in(self, proj: nn.Linear, x: Tensor) -> Tensor:
        """(T, B, E) -> (T, B, K*D), only the heads that stay."""
        if self._kept_features is None:
            return proj(x)
        bias = None if proj.bias is None else proj.bias[self._kept_features]
        return F.linear(x, proj.weight[self._kept_features], bias)

    def _project_out(self, x: Tensor) -> Tensor:
        """(T, B, K*D) -> (T, B, E)."""
        if self._kept_features is None:
            return self.out_proj(x)
        return F.linear(x, self.out_proj.weight[:, self._kept_features], self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Optional[Tensor],
        value: Optional[Tensor],
        key_padding_mask: Optional[Tensor] = None,
        incremental_state: Optional[Dict[str, Dict[str, Optional[Tensor]]]] = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Optional[Tensor] = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Same meaning as fairseq's MultiheadAttention.forward, except that before_softmax is refused.

        Args:
            query: (T, B, E).
            key: (S, B, E).
            value: (S, B, E).
            key_padding_mask: true at padding, (B, S).
            attn_mask: added to the scores, (T, S); or bool, true where none is looked at.

        Returns:
            (T, B, E), and the attention weights: None, (B, T, S) averaged over heads, or
            (K, B, T, S) with need_head_weights.
        """
        if before_softmax:
            raise ValueError("grouped attention does not hand out scores before the softmax")
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(attn_mask, -torch.inf)
        if incremental_state is not None and not self.step_weights:
            need_weights = need_head_weights = False
        if not self.heads_computed:
            return self._without_heads(query, key, need_weights, need_head_weights)
        tgt_len, bsz, _ = query.shape
        saved: Dict[str, Any] = {} if incremental_state is None else self._get_input_buffer(incremental_state)
        cached = "prev_key" in saved

        step = incremental_state is not None
        if static_kv and cached:
            k, v = saved["prev_key"], saved["prev_value"]
            key_padding_mask = saved.get("prev_key_padding_mask")
        else:
            if self.self_attention:
                q, k, v = self._project(query, self._projections, step)
            else:
                k, v, key_padding_mask = self._keys_and_values(bsz, key, value, key_padding_mask, step)
            if cached:
                k = torch.cat([saved["prev_key"], k], dim=2)
                v = torch.cat([saved["prev_value"], v], dim=2)
                key_padding_mask = self._append_prev_key_padding_mask(
                    key_padding_mask=key_padding_mask,
                    prev_key_padding_mask=saved.get("prev_key_padding_mask"),
                    batch_size=k.size(0),
                    src_len=k.size(2),
                    static_kv=static_kv,
                )
        if incremental_state is not None:
            buffer = {"prev_key": k, "prev_value": v, "prev_key_padding_mask": key_padding_mask}
            self._set_input_buffer(incremental_state, buffer)

        if not self.self_attention:  # the hypotheses of a beam may share the keys of their sentence
            q = split_heads(self._project_in(self.q_proj, query), self.head_dim, k.size(0))
        masks = Masks(attn_mask, key_padding_mask)
        recorder_needs_weights = self.recorder is not None and self.recorder.needs_weights
        self.kernel = choose_kernel(q, k, masks, need_weights or need_head_weights or recorder_needs_weights)
        weights: Optional[Tensor] = None
        if self.kernel == PRODUCTS:
            out, weights = product_attention(q, k, v, masks, self.scaling, self.dropout_module)
        else:
            out = fused_attention(self.kernel, q, k, v, masks, self.dropout_module)
        joined = join_heads(out, tgt_len)
        if self.recorder is not None:  # outputs as autograd keeps them anyway, not another copy
            self.recorder.receive(self, HeadMaps(v, weights, split_heads(joined, self.head_dim), key_padding_mask))
        out = self._project_out(joined)

        if not (need_weights or need_head_weights):
            return out, None
        assert weights is not None
        lonely = queries_without_keys(*masks)
        if lonely is not None:
            weights = weights.masked_fill(lonely, 0.0)
        if weights.size(0) != bsz:  # (B, K, N, S) in a decoding step -> (B*N, K, 1, S)
            weights = weights.unflatten(2, (-1, tgt_len)).transpose(1, 2).flatten(0, 1)
        weights = weights.transpose(0, 1)
        return out, weights if need_head_weights else weights.mean(0)

    def _keys_and_values(
        self, bsz: int, key: Optional[Tensor], value: Optional[Tensor], padding: Optional[Tensor], step: bool
    ) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """(B, K, S, D) twice, and the padding of the keys (B, S), where queries and keys are not the same."""
        if self.encoder_decoder_attention:
            assert key is not None
            value = key
            if step and self.beam_size > 1 and bsz == key.size(1):
                # The same source stands beam_size times: one copy of its keys and values is enough.
                key = value = key[:, :: self.beam_size]
                padding = None if padding is None else padding[:: self.beam_size]
        assert key is not None and value is not None
        if key is value:
            k, v = self._project(key, self._projections[1:], step)
        else:
            (k,), (v,) = (self._project(x, [p], step) for x, p in ((key, self.k_proj), (value, self.v_proj)))
        return k, v, padding

    def _without_heads(self, query: Tensor, key: Optional[Tensor], need_weights: bool, need_head_weights: bool):
        """Attention of which no head stays: the bias of its output projection at every position, weights of zero."""
        key = query if key is None else key
        # Products of no features, so that data-parallel training finds a gradient for every parameter.
        unused = sum(self._project_in(proj, key).sum() for proj in (self.k_proj, self.v_proj))
        out = self._project_out(self._project_in(self.q_proj, query)) + unused
        if need_head_weights:
            # As of one head: fairseq's decoder takes the mean over heads, which of none is not a number.
            return out, query.new_zeros(1, query.size(1), query.size(0), key.size(0))
        return out, query.new_zeros(query.size(1), query.size(0), key.size(0)) if need_weights else None


def _unblended(mask: Tensor) -> Tensor:
    """A mask as it was voted: a shadow model mixes a little of the new mask into the old one at each update."""
    change = mask.float() - NO_VOTE_YET
    return NO_VOTE_YET + torch.where(change.abs() < 1e-6, 0.0, change).sign()
