"""Questions from the Hugging Face hub, or from its cache on this machine."""

from __future__ import annotations

from depo_lightning.errors import ConfigError
from depo_lightning.questions.question import Question, from_rows


def read_hub(
    dataset: str, subset: str | None, split: str, revision: str | None, fields: tuple[str, str], remedy: str
) -> list[Question]:
    """All questions of a split.

    Args:
        dataset: id on the hub.
        subset: name of its configuration; None for the only one.
        split: name of the split, "test" for example.
        revision: commit, tag or branch; None for the newest.
        fields: names of the question's and the answer's column.
        remedy: what to do without the hub, for the error message.

    Raises:
        ConfigError: the data set cannot be had: no network, no such set, subset or split.
        DataError: a row is no question.
    """
    from datasets import load_dataset
    from datasets.utils import logging

    logging.disable_progress_bar()
    where = f"{dataset} ({subset or 'default'}, {split})"
    try:
        rows = load_dataset(dataset, subset, split=split, revision=revision)
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no network, offline mode, unknown set; a script instead of data
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{where}: cannot be read from the Hugging Face hub: {reason}; {remedy}") from error
    return from_rows(rows, where, *fields)
