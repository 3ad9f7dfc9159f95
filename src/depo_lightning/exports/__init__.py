"""What a run gives to others: preference data, model cards, merged checkpoints, adapters for a server."""

from depo_lightning.exports.llama_factory import write_llama_factory
from depo_lightning.exports.rows import (
    preference_rows,
    sharegpt_kto_rows,
    sharegpt_rows,
    write_preferences,
    write_sharegpt,
    write_sharegpt_kto,
)

__all__ = [
    "preference_rows",
    "sharegpt_kto_rows",
    "sharegpt_rows",
    "write_llama_factory",
    "write_preferences",
    "write_sharegpt",
    "write_sharegpt_kto",
]
