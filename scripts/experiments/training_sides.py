"""What benchmarks of training compare: fairseq's own model and ours, of the same weights, on random tokens."""

import argparse
import copy
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import torch
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_lm import TransformerLanguageModel

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.criterions.group_constrained import (
    GroupConstrainedCrossEntropy,
    GroupConstrainedCrossEntropyConfig,
    GroupConstrainedLabelSmoothedCrossEntropy,
    GroupConstrainedLabelSmoothedCrossEntropyConfig,
)
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, ghat_base_architecture
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel, ghat_base_lm_architecture
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.modules.grouping import FEATURES

PAD = 1  # index of the padding symbol, as fairseq has it
STOCK, UNCONSTRAINED, STAGE_2 = "fairseq's transformer", "ours, no constraint", "ours, stage 2"


def build_model(grouped, args, task, feature="value"):
    """A model of the given sizes, ours or fairseq's own, with the same weights each time."""
    options = argparse.Namespace(head_groups=args.groups, group_feature=feature, dropout=0.1)
    for side in ("encoder", "decoder"):
        for name, value in (("layers", args.layers), ("embed_dim", args.width), ("attention_heads", args.heads)):
            setattr(options, f"{side}_{name}", value)
        setattr(options, f"{side}_ffn_embed_dim", 4 * args.width)
    if args.language_model:
        options.tokens_per_sample, options.max_target_positions = args.length, None
        options.decoder_input_dim = options.decoder_output_dim = args.width
        options.add_bos_token, options.tpu, options.share_decoder_input_output_embed = False, False, True
        ghat_base_lm_architecture(options)
        kind = GHATTransformerLanguageModel if grouped else TransformerLanguageModel
    else:
        options.share_all_embeddings = True
        options.max_source_positions = options.max_target_positions = args.length + 1
        ghat_base_architecture(options)
        kind = GHATTransformerModel if grouped else TransformerModel
    torch.manual_seed(1)
    return kind.build_model(copy.deepcopy(options), task)


def vote(model, groups):
    """Removes all but the first heads of each layer: which ones stay does not matter for speed."""
    remove_heads(model, {name: list(range(groups)) for name in grouped_attentions(model)})
    return model


def build_criteria(args, task) -> Tuple[torch.nn.Module, torch.nn.Module]:
    """fairseq's criterion, and ours with the constraint."""
    if args.language_model:
        ours = GroupConstrainedCrossEntropy.build_criterion(
            GroupConstrainedCrossEntropyConfig(sentence_avg=False), task
        )
        return CrossEntropyCriterion(task, False), ours
    config = GroupConstrainedLabelSmoothedCrossEntropyConfig(label_smoothing=0.1, sentence_avg=False)
    ours = GroupConstrainedLabelSmoothedCrossEntropy.build_criterion(config, task)
    return LabelSmoothedCrossEntropyCriterion(task, False, 0.1), ours


def build_models(args, task) -> Dict[str, Tuple[torch.nn.Module, torch.nn.Module]]:
    """Name of each side -> its model and criterion.

    Args:
        args: width, layers, heads, groups and length of the models, and whether they are language models.
        task: has their dictionaries.
    """
    stock, ours = build_criteria(args, task)
    return {
        STOCK: (build_model(False, args, task), stock),
        UNCONSTRAINED: (build_model(True, args, task), stock),
        **{f"ours, {name}": (build_model(True, args, task, name), ours) for name in FEATURES},
        STAGE_2: (vote(build_model(True, args, task), args.groups), ours),
    }


def make_batches(args, device, count=4) -> List[Dict[str, Any]]:
    """Batches of random tokens on a device.

    Of translations, padded as fairseq pads them: sources on the left, targets on the right. Of language models, whole
    blocks.
    """
    generator = torch.Generator().manual_seed(1)
    sentences = max(args.tokens // args.length, 1)
    make = _blocks if args.language_model else _sentence_pairs
    batches = [make(args, sentences, generator) for _ in range(count)]
    for batch in batches:
        batch["net_input"] = {name: tensor.to(device) for name, tensor in batch["net_input"].items()}
        batch["target"] = batch["target"].to(device)
    return batches


def _blocks(args, sentences, generator):
    tokens = torch.randint(4, args.vocabulary, (sentences, args.length + 1), generator=generator)
    lengths = torch.full((sentences,), args.length)
    net_input = {"src_tokens": tokens[:, :-1].contiguous(), "src_lengths": lengths}
    return {"net_input": net_input, "target": tokens[:, 1:].contiguous(), "ntokens": sentences * args.length}


def _sentence_pairs(args, sentences, generator):
    positions = torch.arange(args.length)
    source, target, previous = torch.randint(4, args.vocabulary, (3, sentences, args.length), generator=generator)
    lengths = torch.randint(-(-3 * args.length // 4), args.length + 1, (2, sentences, 1), generator=generator)
    lengths[:, 0] = args.length
    source[positions < args.length - lengths[0]] = PAD
    for tokens in (target, previous):
        tokens[positions >= lengths[1]] = PAD
    net_input = {"src_tokens": source, "src_lengths": lengths[0].squeeze(1), "prev_output_tokens": previous}
    return {"net_input": net_input, "target": target, "ntokens": int(lengths[1].sum())}


def build_optimizer(model, args, device):
    """Adam; in 16 bits in fairseq's wrapper, which keeps float32 copies of the weights."""
    if not (args.fp16 or args.bf16):
        return torch.optim.Adam(model.parameters(), lr=1e-4)
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.optim.adam import FairseqAdamConfig
    from fairseq.optim.fp16_optimizer import FP16Optimizer
    from omegaconf import OmegaConf

    config = OmegaConf.structured(FairseqConfig)
    config.optimizer = OmegaConf.structured(FairseqAdamConfig(lr=[1e-4]))
    config.optimizer._name = "adam"
    config.common.fp16, config.common.bf16 = args.fp16, args.bf16
    config.common.fp16_no_flatten_grads = device.type == "cpu"
    return FP16Optimizer.build_optimizer(config, list(model.parameters()))


@dataclass
class Side:
    """A model that is trained, with its criterion and optimizer, which is fairseq's if the model has 16 bits."""

    model: torch.nn.Module
    criterion: torch.nn.Module
    optimizer: Any
    half: bool

    def backward(self, batch):
        """Forward pass, loss and gradients of one batch; returns the number of tokens that the loss is summed over."""
        self.optimizer.zero_grad()
        loss, size, _ = self.criterion(self.model, batch)
        if self.half:
            self.optimizer.backward(loss)
        else:
            (loss / size).backward()
        return size

    def update(self, batch):
        """Trains on one batch."""
        size = self.backward(batch)
        if self.half:
            self.optimizer.multiply_grads(1 / size)
            try:
                self.optimizer.clip_grad_norm(0.0)  # undoes the loss scale
            except OverflowError:  # the scale was too large, in the first updates, and is smaller now
                return self.update(batch)
        return self.optimizer.step()


def build_sides(args, device) -> Dict[str, Side]:
    """Name -> side, ready to train."""
    half = torch.float16 if args.fp16 else torch.bfloat16 if args.bf16 else None
    sides = {}
    for name, (model, criterion) in build_models(args, DictionaryTask(args.vocabulary, args.vocabulary)).items():
        model = model.to(device, half).train()
        sides[name] = Side(model, criterion, build_optimizer(model, args, device), half is not None)
    return sides
