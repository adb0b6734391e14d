"""Speed and BLEU of models in fairseq and, exported, in CTranslate2: all by turns in one process.

    python scripts/benchmark_export.py work/data/multi30k.de-en full=average.pt slim=slim.pt

DATA is a folder of scripts/prepare_data.py. Each checkpoint is exported in float32 and in int8, checked against
fairseq, and the test set translated by all: the same batches, beam and largest length. Greedy translations of fairseq
and of CTranslate2 are compared sentence by sentence.
"""

import argparse
import json
import logging
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List

import ctranslate2
import torch
from fairseq import utils
from fairseq.data.data_utils import post_process
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks.translation import TranslationTask
from sacrebleu.metrics import BLEU

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint
from fairseq_ghat.cli.console import describe_machine, markdown_table, progress_line, quiet_libraries
from fairseq_ghat.cli.loading import InputError, load_checkpoint, load_task_and_model
from fairseq_ghat.evaluation.generation_log import read_lines
from fairseq_ghat.export.ctranslate2_model import write_model
from fairseq_ghat.export.verification import ExportMismatch, first_pairs
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.parameters import describe_heads


def main(argv=None) -> int:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("data", metavar="DATA", type=Path)
    command.add_argument("checkpoints", metavar="NAME=CHECKPOINT", nargs="+")
    command.add_argument("--beam", type=int, default=5, metavar="N", help="default: 5")
    command.add_argument("--batch-size", type=int, default=64, metavar="N", help="sentences in a batch (default: 64)")
    command.add_argument("--max-len", type=int, default=60, metavar="N", help="most tokens (default: 60)")
    command.add_argument("--repeats", type=int, default=7, metavar="N", help="passes that count (default: 7)")
    command.add_argument("--sentences", type=int, metavar="N", help="of the test set, the first ones (default: all)")
    command.add_argument("--json", action="store_true")
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    named = [one.partition("=") for one in args.checkpoints]
    for name, _, path in named:
        if not path or not Path(path).is_file():
            command.error(f"NAME=CHECKPOINT {name}={path}: no such file")
    for flag in ("beam", "batch_size", "max_len", "repeats", "sentences"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            command.error(f"--{flag.replace('_', '-')} {getattr(args, flag)}: allowed is 1 or more")
    try:
        prepared = json.loads((args.data / "prepared.json").read_text())
        references = read_lines(args.data / prepared["references"]["test"])
    except (OSError, KeyError, ValueError) as error:
        command.error(f"DATA {args.data}: is not a folder of prepare_data.py ({error})")
    with tempfile.TemporaryDirectory() as folder:
        try:
            sides = [side for name, _, path in named for side in sides_of(name, path, args, Path(folder))]
        except (CheckpointError, InputError, NotGroupable, ExportMismatch) as error:
            command.error(str(error))
        found = measure(sides, args, references, prepared)
    print(json.dumps(found, indent=1, default=vars) if args.json else described(found))
    return 0


class FairseqSide:
    """One model in fairseq's own generator."""

    engine = "fairseq"

    def __init__(self, name: str, path: str, args):
        state = load_checkpoint(path, TranslationTask, "translation(_v2s)")
        self.name, self.size = name, Path(path).stat().st_size
        self.task, self.model = load_task_and_model(path, as_grouped_checkpoint(state), str(args.data / "bin"))
        self.heads = describe_heads(layer.heads_computed for layer in grouped_attentions(self.model).values())
        self.max_len = args.max_len
        self.model.prepare_for_inference_(Namespace(generation=GenerationConfig()))
        self.generators: Dict[int, Any] = {}

    def translate(self, batches: List[Dict[str, Any]], beam: int) -> Dict[int, List[str]]:
        """Pieces of the best hypothesis by the sentence's number."""
        if beam not in self.generators:
            config = GenerationConfig(beam=beam, max_len_a=0, max_len_b=self.max_len)
            self.generators[beam] = self.task.build_generator([self.model], config)
        eos, pieces = self.task.target_dictionary.eos(), self.task.target_dictionary
        found = {}
        for batch in batches:
            hypotheses = self.task.inference_step(self.generators[beam], [self.model], batch)
            for number, best in zip(batch["id"].tolist(), hypotheses):
                found[number] = [pieces[token] for token in best[0]["tokens"].tolist() if token != eos]
        return found


class CTranslate2Side:
    """The same model, exported."""

    def __init__(self, fairseq: FairseqSide, quantization: str, folder: Path):
        self.engine, self.name, self.heads = f"CTranslate2, {quantization}", fairseq.name, fairseq.heads
        self.task, self.max_len = fairseq.task, fairseq.max_len
        self.task.load_dataset("valid")
        out = folder / f"{fairseq.name}-{quantization}"
        write_model(fairseq.model, self.task, first_pairs(self.task.dataset("valid"), 16), out, quantization)
        self.size = (out / "model.bin").stat().st_size
        # int8 weights are computed with as int8 where the processor can.
        self.translator = ctranslate2.Translator(
            str(out), device="cpu", inter_threads=1, intra_threads=torch.get_num_threads(), compute_type="default"
        )

    def translate(self, batches: List[Dict[str, Any]], beam: int) -> Dict[int, List[str]]:
        """As FairseqSide's."""
        dictionary = self.task.source_dictionary
        left_out = (dictionary.pad(), dictionary.eos())
        found = {}
        for batch in batches:
            sources = [
                [dictionary[token] for token in row if token not in left_out]
                for row in batch["net_input"]["src_tokens"].tolist()
            ]
            results = self.translator.translate_batch(sources, beam_size=beam, max_decoding_length=self.max_len)
            for number, result in zip(batch["id"].tolist(), results):
                found[number] = result.hypotheses[0]
        return found


def sides_of(name: str, path: str, args, folder: Path) -> List[Any]:
    """fairseq's model and its two exports."""
    fairseq = FairseqSide(name, path, args)
    return [fairseq, *(CTranslate2Side(fairseq, quantization, folder) for quantization in ("float32", "int8"))]


def measure(sides: List[Any], args, references: List[str], prepared: Dict[str, Any]) -> Dict[str, Any]:
    """Speeds by turns, BLEU of the translations, and how many greedy ones are those of fairseq."""
    task = sides[0].task
    task.load_dataset("test")
    dataset = task.dataset("test")
    batches = list(
        task.get_batch_iterator(
            dataset,
            max_sentences=args.batch_size,
            max_positions=utils.resolve_max_positions(*(s.model.max_positions() for s in sides if hasattr(s, "model"))),
            required_batch_size_multiple=1,
        ).next_epoch_itr(shuffle=False)
    )
    if args.sentences:
        batches = batches[: -(-args.sentences // args.batch_size)]
    numbers = sorted(number for batch in batches for number in batch["id"].tolist())
    translations: Dict[int, Dict[int, List[str]]] = {}  # side -> sentence -> pieces

    def timed(index: int):
        def run(_):
            start = perf_counter()
            translations[index] = sides[index].translate(batches, args.beam)
            return perf_counter() - start

        return run

    named = {f"{side.engine}, {side.name}, {index}": timed(index) for index, side in enumerate(sides)}
    seconds = list(run_by_turns(named, args.repeats, 1, progress_line()).values())
    rows, greedy = [], {}
    for index, side in enumerate(sides):
        texts = [text_of(translations[index][number], prepared) for number in numbers]
        bleu = BLEU(lowercase=prepared["lowercase"])
        score = bleu.corpus_score(texts, [[references[number] for number in numbers]]).score
        found = side.translate(batches, 1)
        if side.engine == "fairseq":
            greedy = found
        rows.append(
            {
                "model": side.name,
                "engine": side.engine,
                "heads": side.heads,
                "bytes": side.size,
                "sentences_per_second": spread([len(numbers) / taken for taken in seconds[index]]),
                "ratio": ratios(seconds[0], seconds[index]),
                "bleu": score,
                "greedy_as_fairseq": sum(found[number] == greedy[number] for number in numbers),
            }
        )
    setting = (
        f"{len(numbers)} sentences of test, beam {args.beam}, batches of {args.batch_size}, at most {args.max_len} "
        f"tokens; median of {args.repeats} alternating passes, in brackets {describe_interval(args.repeats)}"
    )
    machine = f"{describe_machine(torch.device('cpu'))}, CTranslate2 {ctranslate2.__version__}"
    return {"setting": setting, "machine": machine, "signature": str(bleu.get_signature()), "rows": rows}


def text_of(pieces: List[str], prepared: Dict[str, Any]) -> str:
    """Plain text of subwords, Moses tokenization undone where the data have it. prepared: of prepare_data.py."""
    tokens = post_process(" ".join(pieces), prepared["subwords"] or "none")
    if prepared.get("tokenizer") != "moses":
        return tokens
    from sacremoses import MosesDetokenizer  # only such data need it

    return MosesDetokenizer(lang=prepared["target_lang"]).detokenize(tokens.split())


def described(found: Dict[str, Any]) -> str:
    """The table, and what it holds for."""
    titles = ["model", "engine", "attentions x heads", "file, MB", "sentences/s", "ratio to the first", "BLEU"]
    titles.append("greedy translations as fairseq's")
    rows = [
        [
            row["model"],
            row["engine"],
            row["heads"],
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['sentences_per_second'].median:.1f}",
            row["ratio"].describe(2),
            f"{row['bleu']:.1f}",
            str(row["greedy_as_fairseq"]),
        ]
        for row in found["rows"]
    ]
    return "\n".join([found["setting"], found["machine"], markdown_table(titles, rows), f"BLEU {found['signature']}"])


if __name__ == "__main__":
    sys.exit(main())
