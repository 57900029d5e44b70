"""Errors of models: old names that programs catch, and the sentence for unknown names."""

from __future__ import annotations

from bf_models import errors


def test_old_names_of_errors_catch_what_the_new_ones_are():
    assert errors.StateError is errors.ModelStateError
    assert errors.CorruptCheckpoint is errors.CorruptModel


def test_an_unknown_name_is_told_with_its_close_matches_whatever_the_case():
    assert errors.unknown("loss", "DISE", ["ce", "dice"], "VGG7") == (
        "unknown loss 'DISE' of VGG7; did you mean 'dice'? known: ce, dice"
    )
    assert errors.unknown("loss", "x", []) == "unknown loss 'x'; known: none"
