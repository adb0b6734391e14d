"""Short trainings with a vote: every precision, every way of choosing heads, restarts, two workers, slim models."""

import math
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Dict, List, Tuple

from experiments.gpu_checks.processes import CheckFailed, Processes, words
from experiments.gpu_checks.rows import Check, Row, checked
from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint
from fairseq_ghat.modules.grouped_attention import HEAD_MASK, VOTED_OUT, VOTED_TO_STAY
from fairseq_ghat.pruning.importance.registry import IMPORTANCES

TRANSLATION, LANGUAGE_MODEL = "translation", "language model"
PRECISIONS = ("float32", "--fp16", "--amp", "--memory-efficient-fp16", "--bf16", "--memory-efficient-bf16")
_MODELS = {
    TRANSLATION: "--task translation_v2s --arch ghat_transformer_tiny --share-decoder-input-output-embed "
    "--criterion group_constrained_label_smoothed_cross_entropy --label-smoothing 0.1 --max-tokens 500",
    LANGUAGE_MODEL: "--task language_modeling_v2s --arch ghat_transformer_lm_tiny --tokens-per-sample 64 "
    "--criterion group_constrained_cross_entropy --max-tokens 512",
}
# The validation set trains and the test set validates: a corpus of any size then takes a few seconds.
_SHORT = (
    "--train-subset valid --valid-subset test --seed 1 --max-epoch 4 --vote-epoch 3 --group-loss-scale 0.1 "
    "--optimizer adam --lr 0.005 --lr-scheduler inverse_sqrt --warmup-updates 10 --dropout 0.1 "
    "--log-format simple --num-workers 0 --distributed-world-size 1"
)
_HEADS = {TRANSLATION: 6, LANGUAGE_MODEL: 2}  # attentions of the models; 2 of 8 heads stay in each
_NEAR = 0.05


class Trainings:
    """The checks that train, on data that is binarised.

    Args:
        processes: runs them.
        pool: starts all of them; they wait for their turn.
        data: folder of binarised data by kind of model, once it is made.
        cpu: whether to train on the CPU.
    """

    def __init__(self, processes: Processes, pool: ThreadPoolExecutor, data: Dict[str, "Future[Path]"], cpu: bool):
        self._processes, self._pool, self._data, self._cpu = processes, pool, data, cpu
        self._runs: Dict[Tuple[str, str], Future[str]] = {}
        self._lock = Lock()

    def precisions(self) -> List[Check]:
        """Each trains as float32 does."""
        cases = [(kind, precision) for kind in _MODELS for precision in PRECISIONS]
        for case in cases:
            self._run(*case)
        return [Check(_name(*case), lambda case=case: [self._near_float32(*case)]) for case in cases]

    def ways(self) -> List[Check]:
        """Each way of choosing heads on the checkpoint before the vote."""
        return [Check(f"--keep-heads {way}", lambda way=way: [self._way(way)]) for way in IMPORTANCES]

    def slim(self) -> List[Check]:
        """A model whose heads are masked, as a vote left it in 0.1.0, and its slim form translate alike."""
        return [Check("masked and slim", lambda: [self._slim()])]

    def restart(self) -> List[Check]:
        """Killed at the vote and started again."""
        return [Check("killed at the vote, started again", lambda: [self._restarted()])]

    def workers(self) -> List[Check]:
        """Two processes share the device."""
        return [Check("two processes, gloo", lambda: [self._workers()])]

    def _command(self, kind: str, save_dir: Path, options: str = "", **values: Any) -> List[str]:
        on_cpu = "--cpu --fp16-no-flatten-grads" if self._cpu else ""
        return words(
            f"fairseq-train {{data}} --user-dir fairseq_ghat --save-dir {{save_dir}} {_MODELS[kind]} {_SHORT} {on_cpu} "
            f"{options}",
            data=self._data[kind].result(),
            save_dir=save_dir,
            **values,
        )

    def _folder(self, name: str) -> Path:
        return self._processes.folder / name

    def _run(self, kind: str, precision: str) -> "Future[str]":
        """The log of a training, which runs once, though checks that run side by side ask for it."""
        name = f"{kind} {precision}".replace(" ", "_").replace("--", "")
        flag = "" if precision == "float32" else precision

        def work() -> str:
            return self._processes.run(name, self._command(kind, self._folder(name), flag))

        with self._lock:
            if (kind, precision) not in self._runs:
                self._runs[kind, precision] = self._pool.submit(work)
            return self._runs[kind, precision]

    def _float32(self) -> Tuple[str, Path]:
        """Log and folder of the translation model in float32.

        Raises:
            CheckFailed: if its training failed.
        """
        try:
            return self._run(TRANSLATION, "float32").result(), self._folder("translation_float32")
        except CheckFailed as error:
            raise CheckFailed(f"not run: the training in float32 failed ({error})") from error

    def _near_float32(self, kind: str, precision: str) -> Row:
        losses, base = (_losses(self._run(kind, p).result(), _HEADS[kind]) for p in (precision, "float32"))
        name = _name(kind, precision)
        if precision == "float32":
            return checked(name, f"loss {losses[0]:.3f} to {losses[-1]:.3f}", "falls", losses[-1] < losses[0])
        difference = losses[-1] / base[-1] - 1
        limit = f"within {_NEAR:.0%} of float32"
        return checked(name, f"loss {losses[-1]:.3f}, {difference:+.2%}", limit, abs(difference) < _NEAR)

    def _way(self, way: str) -> Row:
        _, folder = self._float32()
        command = words(
            f"ghat-vote {{folder}}/checkpoint2.pt {{data}} {{folder}}/{way}.pt --keep-heads {way} --subset valid "
            f"--no-progress-bar {'--cpu' if self._cpu else ''}",
            folder=folder,
            data=self._data[TRANSLATION].result(),
        )
        printed = self._processes.run(f"way_{way}", command)
        heads = re.search(r"(\d+ of \d+) heads stay", printed)
        figure = heads.group(1) if heads else "said nothing"
        wanted = f"{2 * _HEADS[TRANSLATION]} of {8 * _HEADS[TRANSLATION]}"
        return checked(f"--keep-heads {way}", f"{figure} heads stay", wanted, figure == wanted)

    def _slim(self) -> Row:
        _, folder = self._float32()
        state = read_checkpoint(folder / "checkpoint2.pt")  # before the vote
        for name, mask in state["model"].items():
            if name.endswith(HEAD_MASK):
                mask[:], mask[::4] = VOTED_OUT, VOTED_TO_STAY
        write_checkpoint(state, folder / "masked.pt")
        self._processes.run("slim", words("ghat-slim {folder}/masked.pt {folder}/slim.pt", folder=folder))
        texts = []
        for name in ("masked", "slim"):
            command = words(
                f"fairseq-generate {{data}} --user-dir fairseq_ghat --path {{folder}}/{name}.pt --beam 5 "
                "--max-len-b 30 --batch-size 128 --required-batch-size-multiple 1 "
                f"{'--cpu' if self._cpu else ''}",
                data=self._data[TRANSLATION].result(),
                folder=folder,
            )
            printed = self._processes.run(f"generate_{name}", command)
            texts.append(sorted(re.findall(r"^H-(\d+)\t\S+\t(.*)$", printed, re.MULTILINE)))
        same = sum(masked == slim for masked, slim in zip(*texts))
        figure = f"{same} of {len(texts[0])} translations the same"
        return checked("masked and slim", figure, "all", texts[0] == texts[1] != [])

    def _restarted(self) -> Row:
        whole, folder = self._float32()
        again = self._folder("restarted")
        again.mkdir()
        shutil.copy(folder / "checkpoint2.pt", again / "checkpoint_last.pt")
        command = self._command(TRANSLATION, again)
        self._processes.kill_at("restarted", command, "vote: begins")
        resumed = self._processes.run("restarted", command)
        heads = [re.findall(r"vote: (\S+ keeps heads \[.*?\])", log) for log in (whole, resumed)]
        losses = [_losses(log, _HEADS[TRANSLATION])[-1] for log in (whole, resumed)]
        told = "the same heads" if heads[0] == heads[1] else "OTHER HEADS"
        figure = f"{told}; loss {losses[1]:.3f}, {losses[0]:.3f} without the kill"
        # On a GPU sums have no fixed order, so that losses are not the same to the last digit.
        passed = heads[0] == heads[1] != [] and abs(losses[1] / losses[0] - 1) < 0.01
        return checked("killed at the vote, started again", figure, "the same heads, loss within 1%", passed)

    def _workers(self) -> Row:
        save_dir = self._folder("workers")
        shared = (
            "--ddp-backend legacy_ddp --distributed-backend gloo --distributed-no-spawn --distributed-world-size 2 "
            "--distributed-init-method file://{folder}/meeting --distributed-rank {rank}"
        )
        logs = self._processes.run_together(
            "workers",
            [
                self._command(TRANSLATION, save_dir, shared, folder=self._processes.folder, rank=rank)
                for rank in range(2)
            ],
        )
        losses = _losses(logs[0], _HEADS[TRANSLATION])
        figure = f"loss {losses[0]:.3f} to {losses[-1]:.3f}, heads agree"
        return checked("two processes, gloo", figure, "falls", losses[-1] < losses[0])


def _name(kind: str, precision: str) -> str:
    return f"{kind}, {precision}, with a vote"


def _losses(log: str, attentions: int) -> List[float]:
    """Validation losses of a training that voted. Raises CheckFailed if one is not finite, or there was no vote."""
    losses = [float(loss) for loss in re.findall(r"\| test \| .*?\| loss (\S+)", log)]
    if not losses or not all(map(math.isfinite, losses)):
        raise CheckFailed(f"validation losses {losses}")
    if f"stage voted | heads {','.join('2' * attentions)}" not in log:
        raise CheckFailed("no vote")
    return losses
