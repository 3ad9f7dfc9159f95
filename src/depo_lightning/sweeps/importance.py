"""How much each swept parameter matters for each objective: fANOVA, from Optuna.

fANOVA (Hutter, Hoos and Leyton-Brown 2014, ICML) splits the variance of a random forest over the parameters' ranges. A
sampler that moves several parameters at once towards what is good does not mislead it as it does methods that compare
where the better configurations lie. Numbers enter by their rank, so their scale does not matter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from depo_lightning.sweeps.configurations import Configuration
from depo_lightning.sweeps.points import PointStatus

MINIMUM = 10  # configurations


def importance(
    points: Sequence[Configuration], keys: Sequence[str], objectives: Mapping[str, str]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Importance of each parameter, summing to 1, for each objective; and for the others the reason why not.

    Args:
        points: those that are finished and measured count.
        keys: the parameters: what varies over the sweep.
        objectives: objective → direction.

    Returns:
        `{objective: {parameter: share}}`, largest first, and `{objective: reason}`.
    """
    shares: dict[str, dict[str, float]] = {}
    reasons: dict[str, str] = {}
    for name in objectives:
        measured = [p for p in points if p.status is PointStatus.FINISHED and math.isfinite(p.values([name])[0])]
        values = [p.values([name])[0] for p in measured]
        rows = [[p.overrides.get(key) for key in keys] for p in measured]
        if reason := _too_little(keys, rows, values):
            reasons[name] = reason
        else:
            shares[name] = _fanova(keys, rows, values)
    return shares, reasons


def _too_little(keys: Sequence[str], rows: Sequence[Sequence[Any]], values: Sequence[float]) -> str:
    if not keys:
        return "nothing but the seed varies"
    if len(rows) < MINIMUM:
        return f"{len(rows)} measured configurations; it takes {MINIMUM}"
    if len(set(values)) == 1:
        return "all configurations measured the same"
    if all(len({repr(row[i]) for row in rows}) < 2 for i in range(len(keys))):
        return "no parameter varies among the measured configurations"
    return ""


def _fanova(keys: Sequence[str], rows: Sequence[Sequence[Any]], values: Sequence[float]) -> dict[str, float]:
    import optuna

    columns = {key: _column([row[i] for row in rows]) for i, key in enumerate(keys)}
    distributions = {key: distribution for key, (distribution, _) in columns.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna: experimental parts
        study = _quiet_study(optuna)
        for number, value in enumerate(values):
            params = {key: entries[number] for key, (_, entries) in columns.items()}
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def _quiet_study(optuna: Any) -> Any:
    """A study in memory; what Optuna says about its creation is of no interest here."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(direction="minimize")
    finally:
        optuna.logging.set_verbosity(level)


def _column(values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A parameter's distribution and its values as Optuna takes them."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
        return IntDistribution(0, len(ranks) - 1), [ranks[value] for value in values]
    texts = [repr(value) for value in values]
    return CategoricalDistribution(sorted(set(texts))), texts
