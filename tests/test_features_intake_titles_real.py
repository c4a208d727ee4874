"""Titles typed by people, on rows the method has not seen: better than a tuned n-gram SVM, and sure when it says so.

The rows are nobody's here: they are read by path from the shared material and these tests skip where it is absent.
"""

from __future__ import annotations

import pytest

from benchmarks.titles import DATA, measure, read_titles, split_of, tuned
from configs.settings import load_settings
from features.intake.title_model import TitleModel
from features.intake.title_words import TitleWords

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="needs shared/data/job_titles/titles.csv beside the repository"),
]
SEEDS = (0, 1)


def test_unseen_titles_are_read_better_than_by_a_tuned_svm_and_surely_enough() -> None:
    titles, labels, names = read_titles()
    listed = load_settings().vocabularies["title_word"]
    first, _ = split_of(len(titles), SEEDS[0])
    svm = tuned([titles[i] for i in first], labels[first], quick=True)
    found = [measure(titles, labels, names, seed, svm, listed) for seed in SEEDS]
    for split in found:
        assert split.ours > split.svm, found
        # Nor does it rest on words that whoever listed them can have seen only in the titles set aside.
        assert split.blind > split.svm, found
        # 850 titles a split, of which some 600 are answered: one standard error of the precision is 0.009.
        assert split.precision >= 0.95 - 0.027, found
        # By split 0.63 to 0.77 over 22 splits, since the threshold itself is an estimate; the mean is what is asked.
        assert split.answered >= 0.63, found
        assert split.calibration <= 0.05, found
    assert sum(split.ours - split.svm for split in found) / len(found) >= 0.02, found
    assert sum(split.answered for split in found) / len(found) >= 0.70, found


def test_a_word_that_turns_a_title_is_respected_by_what_was_learned() -> None:
    titles, labels, names = read_titles()
    words = TitleWords(load_settings().vocabularies["title_word"])
    model = TitleModel.fit(titles, labels.tolist(), words, named=names)
    for title, wrong in {
        "Dermatologist Resident": "Dermatologist",
        "Sales Medical Dermatology Specialist": "Dermatologist",
        "Former Cardiologist": "Cardiologist",
        "Pharmacist Intern": "Pharmacist",
        "Recruiter for Cardiology": "Cardiologist",
        "Secretary to the Oncologist": "Oncologist",
    }.items():
        answer = model.read(words.words(title))
        assert answer.confidence < model.threshold or names[answer.label] != wrong, title
