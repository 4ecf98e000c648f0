"""Search for the rates of a chip with Optuna, on validation images alone."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ohmspike.chip import Chip, Phase
from ohmspike.host.data.dataset import Dataset
from ohmspike.host.learning.classify import classify, train_vote
from ohmspike.host.learning.run import learn, warm_up
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.nonideal import NonIdealTarget
from ohmspike.host.targets.registry import open_target
from ohmspike.sim.analog.device import NOMINAL, Device
from ohmspike.sim.model.nonideal import NonIdealities, as_hardware

from .spaces import ranges_of

if TYPE_CHECKING:
    import optuna

__all__ = ["evaluate", "search", "suggested"]

FORMER_ATTRIBUTES = {"nonidealities": "flaws"}
"""What attributes of a study were called in earlier versions."""

_PHASE = {field.name for field in dataclasses.fields(Phase)}


def suggested(chip: Chip, values: dict[str, float]) -> Chip:
    """``chip`` with hyper-parameters replaced: fields of its own, and fields of the phases that use them."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _PHASE:
            fields[name] = round(value) if type(getattr(chip, name)) is int else float(value)
    phases = []
    for phase in chip.schedule:
        wanted: dict[str, Any] = {name: value for name, value in values.items() if name in _PHASE
                  and (phase.teach if name.startswith("read_out") else phase.learn)}
        phases.append(dataclasses.replace(phase, **wanted))
    return dataclasses.replace(chip, schedule=tuple(phases), **fields)


def evaluate(chip: Chip, data: Dataset, *, read_out: bool, nonidealities: NonIdealities | None = None,
          threads: int | None = None) -> float:
    """Accuracy on the images of :meth:`~ohmspike.host.data.dataset.Dataset.validation`, after learning the others.

    Parameters
    ----------
    read_out : bool
        Evaluate the answers of the read-out; else those of the vote, learned without labels.
    nonidealities : :class:`~ohmspike.sim.model.nonideal.NonIdealities`, optional
        Non-idealities of the chip.
    """
    state, hardware = None, nonidealities is None or nonidealities.in_hardware
    if nonidealities is not None and hardware:
        chip, state = as_hardware(chip, nonidealities)
    split = data.validation()
    shown, (labels, truth) = split.train_images, split.labels()
    device = Device.of_chip(chip) or Device.preset(NOMINAL)
    with (open_target("model", chip, threads=threads) if nonidealities is None or hardware else
          NonIdealTarget(chip, nonidealities, device, threads=threads)) as target:
        if state is not None:
            target.load(state)
        learn(target, shown, labels if read_out else None)
        vote = None
        if not read_out:
            vote = train_vote(target, shown, labels, classes=1 + int(max(labels.max(), truth.max())))
        answers = classify(target, split.test_images, vote)
    return float((answers == truth).mean())


def search(chip: Chip, data: Dataset, study_file: Path, *, spaces: list[str], read_out: bool, trials: int, seeds: int,
           nonidealities: NonIdealities | None = None, progress: Callable[[int, int, float | None], None] | None = None
           ) -> "optuna.Study":
    """Carry a study on until it has ``trials`` finished trials; a new study begins with the rates of the chip.

    The study is an Optuna study in an SQLite file, named ``ohmspike``. Its user attributes say what it is of: ``chip``
    (digest), ``spaces``, ``read_out``, ``seeds`` and ``nonidealities``; every trial has ``accuracies``, one for each
    seed; their mean is its value. A trial that was interrupted is tried again.

    Raises
    ------
    UserError
        Optuna is not installed, or the file is a study of something else.
    """
    data.check(chip, labels_for="the search")
    try:
        import optuna
    except ImportError:
        raise UserError("the search needs Optuna, which is not installed",
                        hint="pip install 'ohmspike[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study_file = Path(study_file)
    study_file.parent.mkdir(parents=True, exist_ok=True)
    ranges = ranges_of(chip, spaces)
    first_seed = chip.seed
    about = {"chip": chip.digest, "spaces": sorted(spaces), "read_out": read_out, "seeds": seeds,
             "nonidealities": nonidealities and dataclasses.asdict(nonidealities)}
    try:
        study = optuna.create_study(study_name="ohmspike", storage=f"sqlite:///{study_file}", load_if_exists=True,
                                    direction="maximize")
    except Exception as error:  # whatever SQLAlchemy says of a file that is no database
        raise UserError(f"{study_file}: not a study: {error}") from None
    for name, value in about.items():
        kept = study.user_attrs.get(name, study.user_attrs.get(FORMER_ATTRIBUTES.get(name, name)))
        if study.trials and kept != value:
            raise UserError(f"{study_file}: a study of another search: {name} is {kept!r}, expected {value!r}",
                            hint="name another file, or search the chip that the study is of")
        study.set_user_attr(name, value)
    if not study.trials:
        study.enqueue_trial({name: min(max(_present_value(chip, name), space.low), space.high)
                             for name, space in ranges.items()})
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    # a seed of its own for every continuation, or the same draws would come again
    study.sampler = optuna.samplers.TPESampler(seed=first_seed + len(study.trials), multivariate=True,
                                               n_startup_trials=12)
    warm_up(chip)
    finished = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))

    def objective(trial):
        values = {name: trial.suggest_float(name, space.low, space.high, log=space.log)
                  for name, space in ranges.items()}
        candidate = suggested(chip, values)
        accuracies = []
        for i in range(seeds):
            drawn = nonidealities and dataclasses.replace(nonidealities, seed=nonidealities.seed + i)
            accuracies.append(evaluate(dataclasses.replace(candidate, seed=first_seed + i), data, read_out=read_out,
                                       nonidealities=drawn))
        trial.set_user_attr("accuracies", accuracies)
        return math.fsum(accuracies) / seeds

    def report(study, trial):
        if progress is not None:
            done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
            progress(done, trials, study.best_value)

    study.optimize(objective, n_trials=max(0, trials - finished), callbacks=[report])
    return study


def _present_value(chip, name):
    """What the chip has of a hyper-parameter now."""
    if name not in _PHASE:
        return getattr(chip, name)
    for phase in chip.schedule:
        if phase.teach if name.startswith("read_out") else phase.learn:
            return phase.decay if name == "theta_decay" and not phase.theta_decay else getattr(phase, name)
    return 1.0
