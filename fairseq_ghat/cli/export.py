"""`ghat-export ctranslate2 CHECKPOINT DATA OUT`: a translation model for CTranslate2, checked against fairseq."""

import argparse
import logging
import sys
from pathlib import Path

from fairseq.tasks.translation import TranslationTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint
from fairseq_ghat.cli.console import quiet_libraries
from fairseq_ghat.cli.measured_models import NotMeasurable, check_data, checkpoint_of_task, task_and_model
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.profiling.parameters import describe_heads

QUANTIZATIONS = ("float32", "float16", "bfloat16", "int16", "int8")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-export", description=__doc__.split("`: ")[1])
    found.add_argument("engine", choices=("ctranslate2",))
    found.add_argument("checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or of ours, voted or slim")
    found.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    found.add_argument("out", metavar="OUT", help="folder to write; must not exist")
    found.add_argument("--quantization", choices=QUANTIZATIONS, default="float32", help="default: float32")
    found.add_argument("--subset", default="valid", help="split that it is checked on (default: valid)")
    found.add_argument("--pairs", type=int, default=16, metavar="N", help="of it, pairs to check (default: 16)")
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    out = Path(args.out)
    if out.exists():
        command.error(f"OUT {out}: exists already; give another folder, or delete it")
    if not out.resolve().parent.is_dir():
        command.error(f"OUT {out}: the folder {out.resolve().parent} does not exist")
    if args.pairs < 1:
        command.error(f"--pairs {args.pairs}: allowed is 1 or more")
    try:
        import ctranslate2  # noqa: F401  only this command needs it
    except ImportError:
        command.error("ctranslate2 is not installed: pip install ctranslate2")
    from fairseq_ghat.export.agreement import Disagreement, first_pairs
    from fairseq_ghat.export.ctranslate2_model import write_model
    from fairseq_ghat.export.ctranslate2_spec import NotExportable

    try:
        check_data(args.data)
        state = checkpoint_of_task(args.checkpoint, TranslationTask, "translation(_v2s)")
        task, model = task_and_model(args.checkpoint, as_grouped_checkpoint(state), args.data)
        task.load_dataset(args.subset)
        pairs = first_pairs(task.dataset(args.subset), args.pairs)
        checked, quantized = write_model(model, task, pairs, out, args.quantization)
    except (NotExportable, NotGroupable) as error:
        command.error(f"CHECKPOINT {args.checkpoint}: {error}")
    except (CheckpointError, NotMeasurable, Disagreement) as error:
        command.error(str(error))
    except FileNotFoundError as error:
        command.error(f"--subset {args.subset}: not in DATA {args.data} ({error})")
    heads = describe_heads(layer.heads_computed for layer in grouped_attentions(model).values())
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {args.quantization}, attentions x heads {heads}, {size / 1e6:.1f} MB")
    print(f"  largest difference to fairseq in float32, log-probability of a token: {checked:.2g}")
    if args.quantization != "float32":
        print(f"  in {args.quantization}: {quantized:.2g}, not checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
