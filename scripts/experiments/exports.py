"""Models measured in fairseq and, exported, in CTranslate2, beside each other."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List, Sequence, Union

import ctranslate2
import torch
from fairseq import utils
from fairseq.data.data_utils import post_process
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks.translation import TranslationTask
from sacrebleu.metrics import BLEU

from fairseq_ghat.cli.console import describe_machine, progress_line, table_of_records
from fairseq_ghat.cli.loading import load_checkpoint, load_task_and_grouped_model
from fairseq_ghat.data.prepared import Prepared
from fairseq_ghat.export.ctranslate2_model import first_pairs, write_model
from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.modules.feed_forward import neurons_per_layer
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.parameters import describe_counts, non_embedding_parameters
from fairseq_ghat.profiling.speed import batches_of_all_lengths


class FairseqSide:
    """One model in fairseq's own generator."""

    engine = "fairseq"

    def __init__(self, name: str, path: str, args: Namespace):
        state = load_checkpoint(path, TranslationTask, "translation(_v2s)")
        self.name, self.bytes = name, Path(path).stat().st_size
        self.task, self.model = load_task_and_grouped_model(path, state, str(args.data / "bin"), {})
        self.sizes = {
            "heads": describe_counts(heads_per_layer(self.model).values()),
            "neurons": describe_counts(neurons_per_layer(self.model).values()),
            "parameters": non_embedding_parameters(self.model.state_dict()),
        }
        self.max_len = args.max_len
        self.model.prepare_for_inference_(Namespace(generation=GenerationConfig()))

    def translate(self, batches: Sequence[Dict[str, Any]], beam: int) -> Dict[int, List[str]]:
        """Pieces of the best hypothesis by the sentence's number."""
        config = GenerationConfig(beam=beam, max_len_a=0, max_len_b=self.max_len)
        generator, dictionary = self.task.build_generator([self.model], config), self.task.target_dictionary
        translations = {}
        for batch in batches:
            results = self.task.inference_step(generator, [self.model], batch)
            for number, hypotheses in zip(batch["id"].tolist(), results):
                tokens = hypotheses[0]["tokens"].tolist()
                translations[number] = [dictionary[token] for token in tokens if token != dictionary.eos()]
        return translations


class CTranslate2Side:
    """The same model, exported."""

    def __init__(self, fairseq: FairseqSide, quantization: str, folder: Path):
        self.engine, self.name, self.sizes = f"CTranslate2, {quantization}", fairseq.name, fairseq.sizes
        self.task, self.max_len = fairseq.task, fairseq.max_len
        self.task.load_dataset("valid")
        out = folder / f"{fairseq.name}-{quantization}"
        write_model(fairseq.model, self.task, first_pairs(self.task.dataset("valid"), 16), out, quantization)
        self.bytes = (out / "model.bin").stat().st_size
        # int8 weights are computed with as int8 where the processor can.
        self.translator = ctranslate2.Translator(
            str(out), device="cpu", inter_threads=1, intra_threads=torch.get_num_threads(), compute_type="default"
        )

    def translate(self, batches: Sequence[Dict[str, Any]], beam: int) -> Dict[int, List[str]]:
        """As FairseqSide's."""
        dictionary = self.task.source_dictionary
        left_out = (dictionary.pad(), dictionary.eos())
        translations = {}
        for batch in batches:
            rows = batch["net_input"]["src_tokens"].tolist()
            sources = [[dictionary[token] for token in row if token not in left_out] for row in rows]
            results = self.translator.translate_batch(sources, beam_size=beam, max_decoding_length=self.max_len)
            translations.update((number, result.hypotheses[0]) for number, result in zip(batch["id"].tolist(), results))
        return translations


def sides_of(name: str, path: str, args: Namespace, folder: Path) -> List[Union[FairseqSide, CTranslate2Side]]:
    """fairseq's model and its two exports, which are written into the folder."""
    fairseq = FairseqSide(name, path, args)
    return [fairseq, *(CTranslate2Side(fairseq, quantization, folder) for quantization in ("float32", "int8"))]


def measure(sides: Sequence[Any], args: Namespace, references: Sequence[str], prepared: Prepared, bleu: BLEU):
    """Speeds by turns, BLEU of the translations, and how many greedy ones are those of fairseq.

    Args:
        sides: those of a model one after the other, fairseq's first.
        args: of benchmark_export.py.
        references: raw text of the test set.
        prepared: what the data are.
        bleu: the metric.

    Returns:
        Plain data, but for the spreads: setting, interval of the spreads, machine, signature and rows, a row for each
        side.
    """
    batches = _batches(sides, args)
    numbers = sorted(number for batch in batches for number in batch["id"].tolist())
    translations: Dict[int, Dict[int, List[str]]] = {}  # side -> sentence -> pieces

    def timed(index: int, _) -> float:
        start = perf_counter()
        translations[index] = sides[index].translate(batches, args.beam)
        return perf_counter() - start

    turns = {f"{side.engine}, {side.name}, {index}": partial(timed, index) for index, side in enumerate(sides)}
    seconds = list(run_by_turns(turns, args.repeats, 1, progress_line()).values())
    rows = []
    for index, side in enumerate(sides):
        texts = [text_of(translations[index][number], prepared) for number in numbers]
        greedy = side.translate(batches, 1)
        if side.engine == "fairseq":
            expected = greedy
        row = {"model": side.name, "engine": side.engine, **side.sizes, "bytes": side.bytes}
        row["sentences_per_second"] = spread([len(numbers) / taken for taken in seconds[index]])
        row["ratio"] = ratios(seconds[0], seconds[index])
        row["bleu"] = bleu.corpus_score(texts, [[references[number] for number in numbers]]).score
        row["greedy_as_fairseq"] = sum(greedy[number] == expected[number] for number in numbers)
        rows.append(row)
    interval = describe_interval(args.repeats)
    setting = (
        f"{len(numbers)} sentences of test, beam {args.beam}, batches of {args.batch_size}, at most {args.max_len} "
        f"tokens; median of {args.repeats} alternating passes, in brackets {interval}"
    )
    machine = f"{describe_machine(torch.device('cpu'))}, CTranslate2 {ctranslate2.__version__}"
    signature = str(bleu.get_signature())
    return {"setting": setting, "interval": interval, "machine": machine, "signature": signature, "rows": rows}


def text_of(pieces: Sequence[str], prepared: Prepared) -> str:
    """Plain text of subwords, Moses tokenization undone where the data have it."""
    tokens = post_process(" ".join(pieces), prepared.subwords or "none")
    if prepared.tokenizer != "moses":
        return tokens
    from sacremoses import MosesDetokenizer  # only such data need it

    return MosesDetokenizer(lang=prepared.languages[1]).detokenize(tokens.split())


def described(measured: Dict[str, Any]) -> str:
    """The table of what measure returned, and what it holds for."""
    records = [
        {
            "model": row["model"],
            "engine": row["engine"],
            "attentions x heads": row["heads"],
            "feed-forwards x neurons": row["neurons"],
            "parameters without embeddings": f"{row['parameters']:,}",
            "file, MB": f"{row['bytes'] / 1e6:.1f}",
            "sentences/s": f"{row['sentences_per_second'].median:.1f}",
            "ratio to the first": row["ratio"].describe(2),
            "BLEU": f"{row['bleu']:.1f}",
            "greedy translations as fairseq's": str(row["greedy_as_fairseq"]),
        }
        for row in measured["rows"]
    ]
    return "\n".join(
        [measured["setting"], measured["machine"], table_of_records(records), f"BLEU {measured['signature']}"]
    )


def _batches(sides: Sequence[Any], args: Namespace) -> List[Dict[str, Any]]:
    task = sides[0].task
    task.load_dataset("test")
    positions = [side.model.max_positions() for side in sides if isinstance(side, FairseqSide)]
    iterator = task.get_batch_iterator(
        task.dataset("test"),
        max_sentences=args.batch_size,
        max_positions=utils.resolve_max_positions(*positions),
        required_batch_size_multiple=1,
    )
    batches = list(iterator.next_epoch_itr(shuffle=False))
    return batches if args.sentences is None else batches_of_all_lengths(batches, -(-args.sentences // args.batch_size))
