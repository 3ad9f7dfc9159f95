"""Stored episodes as a page to step through: `python -m depo_lightning.replay RUN_DIRECTORY`."""
