"""`ghat-export ctranslate2 CHECKPOINT DATA OUT`: a translation model for CTranslate2, checked against fairseq."""

import argparse
from pathlib import Path

from fairseq.tasks.translation import TranslationTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.model_options import NotGroupable
from fairseq_ghat.checkpoints.whole_file import NotWritten
from fairseq_ghat.cli.console import check_minimum, check_out_folder, quiet_libraries
from fairseq_ghat.cli.loading import InputError, check_data, load_checkpoint, load_split, load_task_and_grouped_model
from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.profiling.parameters import describe_counts

QUANTIZATIONS = ("float32", "float16", "bfloat16", "int16", "int8")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-export", description=__doc__.split("`: ")[1])
    parser.add_argument("engine", choices=("ctranslate2",))
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or of ours, voted or slim")
    parser.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    parser.add_argument("out", metavar="OUT", help="folder to write; must not exist")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="float32", help="default: float32")
    parser.add_argument("--subset", default="valid", help="split that it is checked on (default: valid)")
    parser.add_argument(
        "--pairs", type=int, default=16, metavar="N", help="of it, pairs to check, none too long (default: 16)"
    )
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    quiet_libraries()
    out = Path(args.out)
    check_out_folder(parser, args.out)
    check_minimum(parser, args, pairs=1)
    try:
        import ctranslate2  # noqa: F401  only this command needs it
    except ImportError:
        parser.error("ctranslate2 is not installed: pip install ctranslate2")
    from fairseq_ghat.export.ctranslate2_model import ExportMismatch, first_pairs, write_model
    from fairseq_ghat.export.ctranslate2_spec import NotExportable

    try:
        check_data(args.data)
        state = load_checkpoint(args.checkpoint, TranslationTask, "translation(_v2s)")
        task, model = load_task_and_grouped_model(args.checkpoint, state, args.data, {})
        load_split(task, args.data, "--subset", args.subset, with_targets=True)
        positions = min(model.max_positions())
        pairs = first_pairs(task.dataset(args.subset), args.pairs, positions)
        if not pairs:
            raise InputError(f"--subset {args.subset}: has no pair within the model's {positions} positions")
        checked, quantized = write_model(model, task, pairs, out, args.quantization)
    except (NotExportable, NotGroupable) as error:
        parser.error(f"CHECKPOINT {args.checkpoint}: {error}")
    except (CheckpointError, InputError, ExportMismatch) as error:
        parser.error(str(error))
    except NotWritten as error:
        parser.error(f"OUT {error}")
    heads = describe_counts(heads_per_layer(model).values())
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {args.quantization}, attentions x heads {heads}, {size / 1e6:.1f} MB")
    print(f"  largest difference to fairseq in float32, log-probability of a token: {checked:.2g}")
    if args.quantization != "float32":
        print(f"  in {args.quantization}: {quantized:.2g}, not checked")
    return 0
