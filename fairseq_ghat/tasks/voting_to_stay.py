"""Voting-to-Stay in a fairseq task: when to vote, what restarts afterwards, what the log says."""

import logging
from collections import Counter
from multiprocessing.util import Finalize
from typing import Any, Dict, Optional

from fairseq_ghat.checkpoints.kept_units import record_kept
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.checkpoints.resuming import task_state_to_resume
from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer, is_voted
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.modules.removable_layers import KeptUnits, removable_layers, remove_units, take_projections
from fairseq_ghat.modules.wrappers import unwrapped
from fairseq_ghat.pruning.calibration_data import calibration_of
from fairseq_ghat.pruning.model_budget import check_reachable
from fairseq_ghat.pruning.vote import vote
from fairseq_ghat.training.distributed import (
    add_up_over_workers,
    agree_on,
    check_same_units,
    renew_gradient_buffers,
)
from fairseq_ghat.training.early_stopping import (
    patience_state,
    restart_best_score,
    restart_plateau,
    restore_patience,
    set_aside_best_checkpoints,
)
from fairseq_ghat.training.group_training import GroupTraining, forget_constraint_metrics
from fairseq_ghat.training.hidden_unit_history import HiddenUnitHistory
from fairseq_ghat.training.hydra_options import as_command_line
from fairseq_ghat.training.optimizer_state import cut_optimizer, cuts_of
from fairseq_ghat.training.schedule import (
    check_neurons,
    check_removable,
    check_schedule,
    choice_by_gradients,
    is_due,
    votes,
)

logger = logging.getLogger(__name__)

# Where it is in the state of the task.
TASK_STATE = "voting_to_stay"


class VotingToStayMixin:
    """Adds the vote to a fairseq task through its hooks.

    The vote removes heads from the model, and their record goes into the model's options, which fairseq writes into
    every checkpoint. What else must survive a restart, the history of the hidden units and the patience, travels as
    the task's state.

    Attributes:
        group_training: what criteria share with the task (GroupTraining); made anew with each model.
        uses_ema: asks fairseq to hand over the shadow model (--store-ema) in training.
    """

    uses_ema = True

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        """As fairseq's.

        Raises:
            ValueError: for a schedule that cannot work (check_schedule).
        """
        check_schedule(cfg)
        return super().setup_task(cfg, **kwargs)

    def __init__(self, cfg, *args, **kwargs):
        super().__init__(cfg, *args, **kwargs)
        self.cfg = cfg  # which fairseq's older kind of task keeps under another name
        self.group_training = GroupTraining()
        # What the vote left of each layer, while the optimizer still has the shapes of before.
        self._kept: Optional[Dict[str, KeptUnits]] = None
        self._model: Any = None  # in training
        self._watched = False
        self._last_epoch: Optional[int] = None
        self._kernels_logged = False

    # ------------------------------------------------------------------ building

    def build_model(self, cfg, from_checkpoint=False):
        """As fairseq's.

        Raises:
            ValueError: if the arch has no grouped attention, or a vote could remove no head.
        """
        cfg = as_command_line(cfg)
        # A model of a checkpoint brings its own record, and need not be ours in an ensemble.
        for_training = not (from_checkpoint or hasattr(cfg, KEPT_HEADS))
        model = super().build_model(cfg, from_checkpoint)
        attentions = grouped_attentions(model)
        if not attentions:
            if from_checkpoint:
                return model
            arch = getattr(cfg, "arch", None) or getattr(cfg, "_name", type(model).__name__)
            raise ValueError(
                f"--arch {arch} has no grouped attention, which --task {type(self).__name__} needs: "
                "use one that starts with ghat_transformer"
            )
        if not from_checkpoint and not is_voted(model):  # what is loaded need not vote here
            check_removable(self.cfg, attentions, cfg.head_groups)
            check_neurons(self.cfg, model)
            check_reachable(self.cfg, model)
        by_gradients = choice_by_gradients(self.cfg)
        if by_gradients is not None and getattr(cfg, "checkpoint_activations", False):
            raise ValueError(
                f"--checkpoint-activations: not with {by_gradients}, whose gates are not reached in a forward pass "
                "that is run again; vote afterwards with ghat-vote"
            )
        if for_training and votes(self.cfg) and self.cfg.ema_seed_model is not None:
            raise ValueError(
                f"--ema-seed-model {self.cfg.ema_seed_model}: not with a vote; fairseq reads it again whenever a run "
                "goes on, and it has all heads. Vote after training with ghat-vote"
            )
        if votes(self.cfg) and (getattr(cfg, "quant_noise_pq", 0) or 0) > 0:
            raise ValueError(
                f"--quant-noise-pq {cfg.quant_noise_pq}: allowed is 0 with a vote; the noise is put on blocks of "
                "features, which the heads that stay need not divide into"
            )
        self.group_training = GroupTraining(
            attentions, Grouping.from_options(cfg), cfg, constrain_stage=str(self.cfg.constrain_stage)
        )
        if self.cfg.vote_tolerance is not None and not is_voted(model):
            self.group_training.history = HiddenUnitHistory(heads_per_layer(model))
        if for_training:
            self._resume(cfg)
            self._model = model
        return model

    def _resume(self, cfg) -> None:
        """Takes the state of the checkpoint that fairseq-train will load, as far as fairseq goes on from it."""
        state, file = task_state_to_resume(cfg)
        own = dict(state.get(TASK_STATE, {}))
        if file is not None and not file.keeps_best:
            own.pop("patience", None)
        if file is not None and not file.keeps_position:
            own.pop("history", None)
            state = {}
        self.load_state_dict({**state, TASK_STATE: own})

    def build_criterion(self, cfg, *args, **kwargs):
        """As fairseq's.

        Raises:
            ValueError: if the criterion cannot do what the task asks for.
        """
        criterion = super().build_criterion(cfg, *args, **kwargs)
        if self.group_training.history is not None and not self.group_training.constrained:
            raise ValueError(
                f"--vote-tolerance {self.cfg.vote_tolerance}: the hidden units are watched by a criterion that "
                f"starts with group_constrained, found {type(criterion).__name__} (--group-loss-scale 0 trains "
                "without the constraint)"
            )
        return criterion

    # ------------------------------------------------------------------ training

    def get_batch_iterator(self, dataset, *args, epoch=1, **kwargs):
        """As fairseq's, but a restarted run goes on with the batches of the run that was stopped.

        fairseq composes batches with a seed that holds the epoch a run starts at, so after a restart in epoch 5
        every batch would be another; here they are always those of a run that started at epoch 1.
        """
        reused = self.can_reuse_epoch_itr(dataset) and not (
            kwargs.get("disable_iterator_cache") or kwargs.get("update_epoch_batch_itr")
        )
        if self._model is not None and not self._watched and votes(self.cfg):
            # Also in processes that fairseq spawned, where plain atexit functions do not run.
            Finalize(None, self._report_missing_vote, exitpriority=1)
            self._watched = True
        if not reused or dataset in self.dataset_to_epoch_iter:
            return super().get_batch_iterator(dataset, *args, epoch=epoch, **kwargs)
        if kwargs.get("seed") == self.cfg.seed + epoch:  # --update-ordered-indices-seed
            kwargs["seed"] = self.cfg.seed + 1
        iterator = super().get_batch_iterator(dataset, *args, epoch=1, **kwargs)
        iterator.epoch = max(epoch, 1)
        dataset.set_epoch(epoch)
        return iterator

    def begin_epoch(self, epoch, model):
        """fairseq calls this before every epoch, and when a run resumes within one; votes when it is time."""
        super().begin_epoch(epoch, model)
        if self._last_epoch is None and votes(self.cfg):
            if is_voted(model):
                logger.info("vote: took place before this start; %s", _heads(model))
        self._last_epoch = epoch
        if is_voted(model) or not votes(self.cfg):
            return
        change, history = None, self.group_training.history
        if history is not None:
            history.begin_epoch(epoch)
            if history.change is not None:
                change = history.change[0]
                logger.info("hidden units: largest relative change %.4g (%s)", *history.change)
        if is_due(self.cfg, epoch, change):
            self._vote(epoch, model)

    def _vote(self, epoch: int, model) -> None:
        cfg = self.cfg
        logger.info("vote: begins before epoch %d, model frozen", epoch)
        data = calibration_of(self, unwrapped(model), cfg, cfg.data, cfg.train_subset, epoch, add_up_over_workers)
        kept = vote(data, cfg, self.group_training.classifiers)
        self.dataset(cfg.train_subset).set_epoch(epoch)
        check_same_units(kept.layers())
        if str(cfg.refit) != "none":
            agree_on(p for layer in removable_layers(model).values() for p in layer.projection.parameters())
        record_kept(self.group_training.model_options, kept)
        self._kept = kept.layers()
        restart_best_score()
        if not cfg.no_save:
            set_aside_best_checkpoints(cfg.save_dir)
        constraint = "on" if self.group_training.applies(voted=True) else "off"
        if constraint == "off":
            forget_constraint_metrics()
        logger.info("vote: done; constraint %s, best score and patience restarted; %s", constraint, _heads(model))

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False, ema_model=None):
        """As fairseq's."""
        if self._kept is not None:
            self._follow_vote(self._kept, model, optimizer, ema_model)
            self._kept = None
        result = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        if not self._kernels_logged and logger.isEnabledFor(logging.DEBUG):
            kernels = Counter(str(layer.kernel) for layer in grouped_attentions(model).values())
            logger.debug("attention: %s", ", ".join(f"{kernel} in {count} layers" for kernel, count in kernels.items()))
            self._kernels_logged = True
        if self.group_training.history is not None and not is_voted(model):
            self.group_training.close_update(count=not ignore_grad)
        return result

    def _follow_vote(self, kept: Dict[str, KeptUnits], model: Any, optimizer: Any, ema_model: Any) -> None:
        """Cuts what fairseq holds beside the model; a shadow model made after the vote has what stays."""
        renew_gradient_buffers(model, str(self.cfg.ddp_comm_hook))
        cut_optimizer(optimizer, cuts_of(model, kept))
        restart_plateau(optimizer)
        if ema_model is not None and not is_voted(ema_model):
            remove_units(ema_model, kept)
            if str(self.cfg.refit) != "none":  # it would take some 1 / (1 - decay) updates to come round to it
                take_projections(ema_model, model, kept)

    def valid_step(self, sample, model, criterion, ema_model=None):
        """As fairseq's, which hands over the shadow model here too."""
        return super().valid_step(sample, model, criterion)

    def post_validate(self, model, stats, agg):
        """fairseq calls this with the validation statistics; adds the stage and the heads to the log line."""
        if hasattr(super(), "post_validate"):
            super().post_validate(model, stats, agg)
        stats["stage"] = "voted" if is_voted(model) else "grouped"
        stats["heads"] = ",".join(str(count) for count in heads_per_layer(model).values())

    def _report_missing_vote(self) -> None:
        if is_voted(self._model):
            return
        reasons = []
        if self._last_epoch is None:
            reasons.append(f"no epoch began, as where --max-epoch {self.cfg.max_epoch} is over; vote with ghat-vote")
        elif self.cfg.vote_epoch is not None and self._last_epoch < self.cfg.vote_epoch:
            reasons.append(f"--vote-epoch {self.cfg.vote_epoch} was not reached, the last epoch was {self._last_epoch}")
        if self.group_training.history is not None and self._last_epoch is not None:
            if self.group_training.history.change is None:
                reasons.append("--vote-tolerance compares two whole epochs, and there were none")
            else:
                change, layer = self.group_training.history.change
                reasons.append(
                    f"the last change of the hidden units, {change:.4g} ({layer}), was not under --vote-tolerance "
                    f"{self.cfg.vote_tolerance:g}"
                )
        reason = "; ".join(reasons) or "the vote was interrupted, start again with the same command"
        logger.warning("vote: training ended without a vote, all heads are still there: %s", reason)

    # ------------------------------------------------------------------ state

    def state_dict(self):
        """As fairseq's, with what must survive a restart beside the model and the optimizer."""
        own = {"patience": patience_state()}
        if self.group_training.history is not None:
            own["history"] = self.group_training.history.state_dict()
        return {**super().state_dict(), TASK_STATE: own}

    def load_state_dict(self, state_dict):
        """As fairseq's."""
        state_dict = dict(state_dict)
        own = state_dict.pop(TASK_STATE, {})
        if self.group_training.history is not None and "history" in own:
            self.group_training.history.load_state_dict(own["history"])
        restore_patience(own.get("patience", {}))
        super().load_state_dict(state_dict)


def _heads(model) -> str:
    return "heads per attention: " + ", ".join(f"{name} {count}" for name, count in heads_per_layer(model).items())
