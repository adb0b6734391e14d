"""Grouped Head Attention for fairseq: train with grouped heads, let them vote, remove the rest.

A user imports `load`, which gives a trained translation model, and `__version__`; all else is reached by fairseq's
commands with --user-dir and by the ghat- commands. Importing the package, which --user-dir does, registers the
models, criteria and tasks, and lets torch's safe loading read fairseq checkpoints.
"""

import sys

# A relative import: in a folder of another name, the package is not fairseq_ghat yet.
from .user_dir import claim

__path__ = claim(__name__, __path__)

# Python imports a package before its __main__, which only prints the folder and needs nothing of this.
if getattr(sys, "orig_argv", sys.argv)[-2:] != ["-m", "fairseq_ghat"]:
    from fairseq_ghat.checkpoints.safe_loading import allow_checkpoint_classes

    allow_checkpoint_classes()

    from fairseq_ghat.criterions import group_constrained  # noqa: F401
    from fairseq_ghat.hub import load
    from fairseq_ghat.models import ghat_transformer, ghat_transformer_lm  # noqa: F401
    from fairseq_ghat.tasks import language_modeling_v2s, translation_v2s  # noqa: F401

__all__ = ["__version__", "load"]
__version__ = "0.2.0.dev0"
