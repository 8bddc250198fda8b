"""Attacks on a training function: label flips, triggers, clean labels. Each says which rows it changed.

To add one: a module with a class that follows `interface.Attack`, and its name here.
"""

from __future__ import annotations

from stannary.checks.poisoning.attacks.clean_label import CleanLabel, FeatureCollision
from stannary.checks.poisoning.attacks.label_flip import LabelFlip
from stannary.checks.poisoning.attacks.triggers import BadNets, Blended, Columns

__all__ = ["BadNets", "Blended", "CleanLabel", "Columns", "FeatureCollision", "LabelFlip"]
