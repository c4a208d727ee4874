"""The hash split: an account's fold and hold-out are its own, whoever else is in the data."""

from __future__ import annotations

import numpy as np

from training.dataset.dataset import folds

ROOTS = [f"account {number}" for number in range(400)]


def test_a_roots_fold_and_hold_out_do_not_depend_on_the_other_roots():
    fold, held_out = folds(ROOTS, 5, 0.2)
    alone = [folds([root], 5, 0.2) for root in ROOTS]
    assert fold.tolist() == [int(found[0][0]) for found in alone]
    assert held_out.tolist() == [bool(found[1][0]) for found in alone]


def test_folds_are_of_about_equal_size_and_the_hold_out_has_about_its_share():
    # 400 draws: 80 a fold and 80 held out, standard deviation 8; four of them either side
    fold, held_out = folds(ROOTS, 5, 0.2)
    assert all(48 <= count <= 112 for count in np.bincount(fold, minlength=5))
    assert 48 <= held_out.sum() <= 112
