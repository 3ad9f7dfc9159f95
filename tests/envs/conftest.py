"""Shared by the tests of the environments."""

import re

import pytest

from depo_lightning.envs.webshop.nouns import Tagger


@pytest.fixture
def nouns(monkeypatch):
    """Every word counts as a noun: spares loading spaCy where the tagger is not the subject."""
    monkeypatch.setattr(Tagger, "__call__", lambda _, title: re.findall(r"\w+", title.lower()))
