"""--bf16 on a GPU or a CPU: fairseq's parser takes it for a wish to train on a TPU."""

import sys
from argparse import Namespace


def keep_off_tpu(args: Namespace) -> None:
    """Takes back the --tpu that fairseq's parser adds to --bf16 and --memory-efficient-bf16.

    fairseq calls the function of the architecture last of all in its parser, with all options: nothing has read them.

    Args:
        args: the flat command line. A --tpu that a user named stays; the parser keeps no trace of the difference, the
            process's own command line does.
    """
    if getattr(args, "bf16", False) and "--tpu" not in sys.argv:
        args.tpu = False
