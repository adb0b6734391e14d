"""Tiny models built by fairseq's own rules, and a padded batch for them."""

import argparse
import copy

import torch
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel

import fairseq_ghat  # noqa: F401  registers models, criteria and tasks
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, ghat_tiny_architecture
from fairseq_ghat.models.ghat_transformer_lm import ghat_tiny_lm_architecture
from fairseq_ghat.modules.attention_layers import grouped_attentions, record_features
from fairseq_ghat.training.group_training import GroupTraining

PAD = 1
BASE_SIZE = {
    f"{side}_{part}": value
    for side in ("encoder", "decoder")
    for part, value in (("layers", 6), ("embed_dim", 512), ("ffn_embed_dim", 2048), ("attention_heads", 8))
}


class TinyTask:
    """What a transformer asks of a task: two dictionaries of 50 words."""

    def __init__(self):
        self.source_dictionary = self.target_dictionary = Dictionary()
        for word in range(50):
            self.target_dictionary.add_symbol(f"w{word}")


class VotingTask(TinyTask):
    """What a criterion asks of a task that votes."""

    def __init__(self, model, constrain_stage="1", history=None):
        super().__init__()
        attentions = grouped_attentions(model)
        self.group_training = GroupTraining(attentions, model.grouping, None, constrain_stage, history)


def tiny_args(**options):
    """Options of a tiny transformer without dropout."""
    args = argparse.Namespace(dropout=0.0, share_all_embeddings=True, max_source_positions=64, max_target_positions=64)
    vars(args).update(options)
    ghat_tiny_architecture(args)
    return args


def lm_options(architecture=ghat_tiny_lm_architecture, **given):
    """Options of a language model without dropout, by default a tiny one."""
    args = argparse.Namespace(
        dropout=0.0, tokens_per_sample=32, max_target_positions=None, add_bos_token=False, tpu=False
    )
    vars(args).update(given)
    architecture(args)
    return args


def build_stock(**options):
    torch.manual_seed(7)
    return TransformerModel.build_model(copy.deepcopy(tiny_args(**options)), TinyTask())


def build_grouped(**options):
    torch.manual_seed(7)
    return GHATTransformerModel.build_model(copy.deepcopy(tiny_args(**options)), TinyTask())


def padded_batch(pad=PAD, eos=2, seed=3):
    """Sources (left-padded) and targets (right-padded) of unequal length: net_input and target."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.randint(4, 54, (3, 7), generator=generator)
    src[:, -1] = eos
    src[0, :3] = pad
    src[1, :1] = pad
    target = torch.randint(4, 54, (3, 6), generator=generator)
    target[0, 3], target[0, 4:], target[1, 5], target[2, 5] = eos, pad, eos, eos
    previous = torch.full_like(target, eos)
    previous[:, 1:] = target[:, :-1]
    previous[0, 4:] = pad
    return {
        "net_input": {"src_tokens": src, "src_lengths": src.ne(pad).sum(1), "prev_output_tokens": previous},
        "target": target,
        "ntokens": int(target.ne(pad).sum()),
    }


def padded_batches(count):
    """As many batches of one shape, each of other tokens."""
    return [padded_batch(seed=seed) for seed in range(count)]


def features_of(model, sample, pooled=False):
    """What a forward pass over a sample leaves in the record of features, padding left out."""
    with record_features(model, sample["net_input"]["prev_output_tokens"].eq(PAD), pooled=pooled) as features:
        model(**sample["net_input"])
    return features


def build_criterion(kind, task, alpha=0.5, beta=0.5, scale="0.03", sentence_avg=False, **options):
    """A criterion with the group constraint, built as fairseq builds it from its options."""
    cfg = argparse.Namespace(
        sentence_avg=sentence_avg,
        label_smoothing=0.1,
        group_alpha=alpha,
        group_beta=beta,
        group_loss_scale=scale,
        group_objective="metric",
        group_diversity="cosine",
    )
    vars(cfg).update(options)
    return kind.build_criterion(cfg, task)


def keep_heads(model, heads):
    """Masks all other heads of every attention, as a vote did in earlier versions."""
    for layer in grouped_attentions(model).values():
        layer.set_head_mask(torch.tensor([head in heads for head in range(layer.heads_held)]))
    return model


def kept_part(weights, kept, heads=8, neurons=None):
    """Weights of a model, by name, cut down by hand to the heads, and neurons, kept in each layer."""
    cut = dict(weights)
    for layer, of_layer in (neurons or {}).items():
        for name, axis in ((f"{layer}.fc1.weight", 0), (f"{layer}.fc1.bias", 0), (f"{layer}.fc2.weight", 1)):
            cut[name] = torch.stack([weights[name].select(axis, neuron) for neuron in of_layer], axis)
    for layer, of_layer in kept.items():
        for projection in ("q_proj", "k_proj", "v_proj"):
            for kind in ("weight", "bias"):
                name = f"{layer}.{projection}.{kind}"
                cut[name] = torch.cat([weights[name].chunk(heads)[head] for head in of_layer] or [weights[name][:0]])
        name = f"{layer}.out_proj.weight"
        columns = weights[name].chunk(heads, dim=1)
        cut[name] = torch.cat([columns[head] for head in of_layer] or [weights[name][:, :0]], dim=1)
    return cut


def half_products():
    """Whether this torch multiplies matrices in half precision on a CPU (2.0 does not)."""
    try:
        torch.ones(2, 2, dtype=torch.float16) @ torch.ones(2, 2, dtype=torch.float16)
    except RuntimeError:
        return False
    return True
