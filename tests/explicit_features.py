"""Feature maps of heads computed by hand from the inputs of their layers, sentence by sentence, without padding."""

import torch
from tiny_models import PAD

from fairseq_ghat.modules.attention_layers import grouped_attentions


def record_inputs(model):
    """Inputs of every attention layer of the next forward pass, by layer name."""
    calls = {}
    for name, attention in grouped_attentions(model).items():
        attention.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: calls.__setitem__(name, kwargs), with_kwargs=True
        )
    return calls


def slow_maps(attention, call, batch):
    """Of each sentence: tokens of queries and keys, and by feature the maps of all heads, a list."""
    query, key = call["query"], call["key"]
    source = batch["net_input"]["src_tokens"]
    target = batch["net_input"].get("prev_output_tokens", source)
    cross = attention.encoder_decoder_attention
    decoder = cross or call.get("attn_mask") is not None
    query_tokens, key_tokens = target if decoder else source, target if decoder and not cross else source
    sentences = []
    for b in range(query.size(1)):
        asking, asked = query_tokens[b].ne(PAD), key_tokens[b].ne(PAD)
        q = attention.q_proj(query[asking, b]) * attention.scaling
        k, v = attention.k_proj(key[asked, b]), attention.v_proj(key[asked, b])
        maps = {"value": [], "attention": [], "output": []}
        for h in range(attention.heads_held):
            part = slice(h * attention.head_dim, (h + 1) * attention.head_dim)
            scores = q[:, part] @ k[:, part].T
            if decoder and not cross:
                scores = scores + torch.triu(torch.full_like(scores, float("-inf")), 1)
            weights = scores.softmax(-1)
            maps["value"].append(v[:, part])
            maps["attention"].append(weights)
            maps["output"].append(weights @ v[:, part])
        sentences.append((query_tokens[b][asking], key_tokens[b][asked], maps))
    return sentences


def slow_features(attention, call, feature, batch):
    """Feature maps (H, F) of one layer over the sentences of a batch."""
    sentences = slow_maps(attention, call, batch)
    return torch.stack(
        [torch.cat([maps[feature][h].flatten() for *_, maps in sentences]) for h in range(attention.heads_held)]
    )
