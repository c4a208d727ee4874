"""Who may let a bundle serve, what it must pass, and the way back; bundles are stand-ins, the rules are tested."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.errors import BundleRefused, InputInvalid, NotReady
from configs.settings import load_settings
from training.registry import champion as module
from training.registry.approvals import approve, standing, withdraw
from training.registry.champion import Champion, promote, read_champion, rollback
from training.registry.gates import first_gate
from training.registry.history import CHAMPION_FILE, read_history, writing

AT = datetime(2026, 7, 1, tzinfo=UTC)
RULES = load_settings().registry
BETTER, NOISE = {"value": -0.02, "low": -0.03, "high": -0.01}, {"value": -0.01, "low": -0.03, "high": 0.01}
SOUND: dict[str, Any] = {
    "hygiene": {"passed": True},
    "leakage": {"looked": ["ID_LIKE"], "found": []},
    "by": "Ada Trainer",
    "held_out": {"against": {"points_scorecard": BETTER, "base_rate": BETTER}},
}


def bundle(folder: Path, name: str, **training: Any) -> Path:
    (folder / name).mkdir()
    (folder / name / "training.json").write_text(json.dumps({**SOUND, **training}))
    return folder / name


def read(folder: Path) -> Any:
    """A stand-in for reading a bundle: a folder's name is its id."""
    training = json.loads((folder / "training.json").read_text())
    manifest = SimpleNamespace(
        training=training, feature_set="f", segment_map="s", policy="p", training_data="d", created_as_of=AT
    )
    return SimpleNamespace(bundle_id=folder.name, manifest=manifest, folder=folder)


def yes(artifacts: Path, folder: Path, by: str = "Grace Reviewer", days: float = 0, **more: Any) -> None:
    approve(artifacts, folder, by=by, as_of=AT + timedelta(days=days), rules=RULES, read=read, **more)


def ask(artifacts: Path, folder: Path, by: str = "Ada Trainer", days: float = 0, **more: Any) -> Champion:
    return promote(artifacts, folder, by=by, as_of=AT + timedelta(days=days), rules=RULES, verify=read, **more)


def judged(artifacts: Path, challenger: str, champion: str, verdict: str = "better", as_of: str = "2026-06-30") -> None:
    says = {
        "champion": champion, "verdict": verdict, "data_as_of": f"{as_of}T00:00:00Z", "rows": 900, "accounts": 300,
        "positives": 90, "difference": BETTER if verdict == "better" else NOISE,
    }  # fmt: skip
    with writing(artifacts, AT) as ledger:
        ledger.append("judged", by="leadwell train", bundle_id=challenger, as_of=AT, says=says)


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """Artifacts, and three approved bundles; the later two were judged better than the one before."""
    artifacts = tmp_path / "artifacts"
    one, two, three = (bundle(tmp_path, name) for name in ("one", "two", "three"))
    for folder in (one, two, three):
        yes(artifacts, folder)
    judged(artifacts, "two", "one")
    judged(artifacts, "three", "two")
    return artifacts, one, two, three


def test_promotions_and_rollbacks_stay_in_the_history_and_the_last_one_serves(three: tuple[Path, ...]) -> None:
    artifacts, *folders = three
    for days, folder in enumerate(folders):
        ask(artifacts, folder, days=days)
    back = rollback(artifacts, by="Night Shift", as_of=AT + timedelta(days=9), verify=read)
    assert (back.bundle_id, back.how, back.by, back.previous) == ("two", "rollback", "Night Shift", "one")
    assert back.approved_by == ("Grace Reviewer",)
    served = [e.bundle_id for e in read_history(artifacts).entries if e.kind == "served"]
    assert served == ["one", "two", "three", "two"]
    assert read_champion(artifacts) == back and back.folder(artifacts) == folders[1]
    # A second rollback goes one further back, and then there is none.
    assert rollback(artifacts, by="Night Shift", as_of=AT, verify=read).bundle_id == "one"
    with pytest.raises(NotReady, match="nothing to roll back to"):
        rollback(artifacts, by="Night Shift", as_of=AT, verify=read)


def test_the_champion_file_says_what_serving_needs(three: tuple[Path, ...]) -> None:
    artifacts, one, *_ = three
    ask(artifacts, one)
    written = json.loads((artifacts / CHAMPION_FILE).read_text())
    assert (written["bundle_id"], written["path"]) == ("one", "../one")
    assert (written["served_from"], written["by"]) == ("2026-07-01T00:00:00Z", "Ada Trainer")
    assert written["approved_by"] == ["Grace Reviewer"]


def test_promoting_the_champion_again_is_no_step_that_a_rollback_undoes(three: tuple[Path, ...]) -> None:
    artifacts, one, two, _ = three
    for folder in (one, two, two):
        ask(artifacts, folder)
    assert rollback(artifacts, by="Night Shift", as_of=AT, verify=read).bundle_id == "one"


def test_before_the_first_promotion_there_is_no_champion_and_the_command_is_named(tmp_path: Path) -> None:
    assert read_champion(tmp_path) is None
    with pytest.raises(NotReady, match="leadwell promote --bundle DIR"):
        rollback(tmp_path, by="Ada", as_of=AT)
    with pytest.raises(BundleRefused, match="leadwell train --bundle DIR"):
        ask(tmp_path, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("approver", "asker", "passes"),
    [
        ("Grace Reviewer", "Ada Trainer", True),
        ("Grace Reviewer", "Chief of Sales", True),
        ("Grace Reviewer", "Grace Reviewer", False),
        ("Grace Reviewer", "reviewer,  GRACE", False),
        ("Grace Reviewer", "Dr. Gráce Reviewer, MD", False),
        ("Grace Reviewer", "G. Reviewer", False),
        ("Jörg Müller", "joerg.mueller@example.com", False),
        ("Jörg Müller", "Jorg Muller", False),
        ("Jörg Müller", "Jürgen Müller", True),
        ("Grace Reviewer", "Grасe Reviewer", False),  # noqa: RUF001 - two letters are Cyrillic
    ],
)
def test_a_second_person_is_another_one_however_the_name_is_spelled(
    tmp_path: Path, approver: str, asker: str, passes: bool
) -> None:
    folder = bundle(tmp_path, "one")
    yes(tmp_path, folder, by=approver)
    if passes:
        assert ask(tmp_path, folder, by=asker).approved_by == (approver,)
    else:
        with pytest.raises(BundleRefused, match="a second person approves"):
            ask(tmp_path, folder, by=asker)
        assert read_champion(tmp_path) is None


def test_whoever_trained_it_or_insisted_on_a_leak_does_not_approve_it(tmp_path: Path) -> None:
    leaky = {"leakage": {"found": [], "despite": {"reason": "the vendor's column", "by": "Lin Insister"}}}
    folder = bundle(tmp_path, "one", **leaky)
    for name in ("ada trainer", "Lin Insister"):
        with pytest.raises(BundleRefused, match="a second person approves"):
            yes(tmp_path, folder, by=name, note="seen")
    # Somebody else has to say why.
    with pytest.raises(InputInvalid, match=r"(?s)--note.*trained despite a leak: the vendor's column"):
        yes(tmp_path, folder)
    yes(tmp_path, folder, note="agreed in RISK-7")
    found = {gate.name: gate for gate in ask(tmp_path, folder, by="Ada Trainer").gates}
    assert not found["leakage"].passed and found["leakage"].despite == "Grace Reviewer: agreed in RISK-7"


def test_without_an_approval_nothing_serves_and_the_command_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "one")
    with pytest.raises(BundleRefused, match="registry approve --bundle"):
        ask(tmp_path, folder)
    yes(tmp_path, bundle(tmp_path, "other"))
    with pytest.raises(BundleRefused, match="registry approve --bundle"):
        ask(tmp_path, folder)


def test_an_approval_runs_out_and_can_be_taken_back_and_given_again(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "one")
    yes(tmp_path, folder, days=0)
    # Thirty days from the first of July: the 31st is the last one.
    with pytest.raises(BundleRefused, match="only until 2026-07-31"):
        ask(tmp_path, folder, days=31)
    withdraw(tmp_path, "on", by="Grace Reviewer", reason="the card names the wrong segment", as_of=AT)
    with pytest.raises(BundleRefused, match="took the approval back: the card names the wrong segment"):
        ask(tmp_path, folder, days=1)
    with pytest.raises(NotReady, match="no approval to take back"):
        withdraw(tmp_path, "one", by="Grace Reviewer", reason="again", as_of=AT)
    yes(tmp_path, folder, days=2)
    assert len(standing(read_history(tmp_path), "one")) == 1
    assert ask(tmp_path, folder, days=32).bundle_id == "one"


def test_an_approval_is_bound_to_the_card_that_was_seen(tmp_path: Path) -> None:
    folder, card = bundle(tmp_path, "one"), tmp_path / "one-card.json"
    card.write_text('{"auc": 0.7}')
    yes(tmp_path, folder, seen="on")
    card.write_text('{"auc": 0.9}')
    with pytest.raises(BundleRefused, match="the model card was another one then"):
        ask(tmp_path, folder)
    card.write_text('{"auc": 0.7}')
    assert ask(tmp_path, folder).bundle_id == "one"
    with pytest.raises(BundleRefused, match="look at it again"):
        yes(tmp_path, folder, seen="two")


@pytest.mark.parametrize(("days", "by"), [(0, "Grace"), (31, "Grace"), (3, " "), (3, "?")])
def test_an_approval_without_a_person_or_for_too_long_is_refused(tmp_path: Path, days: int, by: str) -> None:
    folder = bundle(tmp_path, "one")
    with pytest.raises(InputInvalid, match="expected"):
        approve(tmp_path, folder, by=by, as_of=AT, rules=RULES, days=days, read=read)


def test_the_first_champion_beats_the_scorecard_and_the_base_rate_or_is_refused(tmp_path: Path) -> None:
    weak = bundle(tmp_path, "weak", held_out={"against": {"points_scorecard": NOISE, "base_rate": BETTER}})
    old = bundle(tmp_path, "old", held_out=None)
    for folder, said in ((weak, "not beyond noise better than the points scorecard"), (old, "train it again")):
        yes(tmp_path, folder)
        with pytest.raises(BundleRefused, match=said):
            ask(tmp_path, folder)
    # An interval over a handful of outcomes leaves zero out by chance.
    rare = bundle(tmp_path, "rare", held_out={**SOUND["held_out"], "judged": 400, "positives": 19})
    yes(tmp_path, rare)
    with pytest.raises(BundleRefused, match="too few later rows to tell: 19 of the rarer outcome, expected 20"):
        ask(tmp_path, rare)
    few = {"value": -0.1, "low": None, "high": None}
    assert not first_gate(read(bundle(tmp_path, "few", held_out={"against": {"base_rate": few}})), ["base_rate"]).open


def test_a_challenger_that_is_not_better_beyond_noise_is_refused_and_the_champion_stays(
    three: tuple[Path, ...],
) -> None:
    artifacts, one, two, third = three
    ask(artifacts, one)
    # Judged beside another bundle than the one that serves now: that says nothing.
    with pytest.raises(BundleRefused, match="never judged beside the champion one"):
        ask(artifacts, third)
    judged(artifacts, "two", "one", verdict="within noise", as_of="2026-08-01")
    with pytest.raises(BundleRefused, match=r"within noise of the champion.*judged 2 times"):
        ask(artifacts, two)
    # Judging again on older data changes nothing; on newer data it does.
    judged(artifacts, "two", "one", as_of="2026-07-15")
    with pytest.raises(BundleRefused, match="within noise"):
        ask(artifacts, two)
    judged(artifacts, "two", "one", as_of="2026-09-01")
    assert ask(artifacts, two).previous == "one"


def test_only_both_persons_together_let_a_challenger_pass_that_does_not_beat_the_champion(
    three: tuple[Path, ...],
) -> None:
    artifacts, one, _, third = three
    ask(artifacts, one)
    with pytest.raises(BundleRefused, match="later data"):
        ask(artifacts, third, despite_gate="trained without an erased person")
    yes(artifacts, third, despite_gate="erasure ER-12")
    with pytest.raises(BundleRefused, match="later data"):
        ask(artifacts, third)
    gates = {gate.name: gate for gate in ask(artifacts, third, despite_gate="trained without an erased person").gates}
    why = "Ada Trainer: trained without an erased person; Grace Reviewer: erasure ER-12"
    assert gates["later data"].despite == why and not gates["later data"].passed


def test_every_closed_gate_is_named_at_once(tmp_path: Path) -> None:
    folder = bundle(
        tmp_path, "one", hygiene={"passed": False, "failed": ["too few leads"]}, held_out=None, leakage=None
    )
    with pytest.raises(BundleRefused) as refused:
        ask(tmp_path, folder)
    said = str(refused.value).splitlines()
    assert [line.split(": ")[1] for line in said] == [
        "hygiene", "leakage", "later data", "later data", "approval",
    ]  # fmt: skip


def test_who_recalibrates_a_bundle_does_not_take_the_place_of_who_trained_it(tmp_path: Path) -> None:
    folder = bundle(tmp_path, "one", recalibrated_by="Rita Recent")
    for by in ("Ada Trainer", "Recent, Rita"):
        with pytest.raises(BundleRefused, match="a second person approves"):
            yes(tmp_path, folder, by=by)


def test_a_bundle_that_learned_nothing_serves_first_and_is_beaten_as_the_points_are(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    cold = bundle(tmp_path, "cold", cold_start=True, by="", held_out=None, leakage=None)
    weak = bundle(tmp_path, "weak", held_out={"against": {"points_scorecard": NOISE, "base_rate": BETTER}})
    good = bundle(tmp_path, "good")
    for folder in (cold, weak, good):
        yes(artifacts, folder)
    assert ask(artifacts, cold).bundle_id == "cold"
    with pytest.raises(BundleRefused, match="not beyond noise better than the points scorecard"):
        ask(artifacts, weak)
    # No judgement beside the points: there is no probability to judge.
    assert ask(artifacts, good).previous == "cold"
    with pytest.raises(BundleRefused, match="never judged beside the champion good"):
        ask(artifacts, cold)
    assert rollback(artifacts, by="Ada Trainer", as_of=AT, verify=read).bundle_id == "cold"
    assert ask(artifacts, good).bundle_id == "good"


def test_a_rollback_asks_no_second_person_and_passes_over_what_was_taken_back(three: tuple[Path, ...]) -> None:
    artifacts, *folders = three
    for folder in folders:
        ask(artifacts, folder)
    withdraw(artifacts, "two", by="Grace Reviewer", reason="wrong card", as_of=AT)
    assert rollback(artifacts, by="Grace Reviewer", as_of=AT, verify=read).bundle_id == "one"


def test_a_rollback_to_a_bundle_that_is_gone_or_changed_leaves_the_champion(three: tuple[Path, ...]) -> None:
    artifacts, one, two, _ = three
    ask(artifacts, one)
    ask(artifacts, two)
    with pytest.raises(BundleRefused, match="no longer the bundle one"):
        rollback(artifacts, by="Ada", as_of=AT, verify=lambda folder: SimpleNamespace(bundle_id="another"))  # type: ignore[arg-type,return-value]
    one.rename(one.with_name("elsewhere"))
    with pytest.raises(BundleRefused, match="no longer the bundle one"):
        rollback(artifacts, by="Ada", as_of=AT, verify=read)
    champion = read_champion(artifacts)
    assert champion is not None and champion.bundle_id == "two"


def test_a_champion_that_changed_while_another_run_asked_is_judged_by_its_own_gate(
    three: tuple[Path, ...],
) -> None:
    artifacts, one, two, third = three
    judged(artifacts, "three", "one")
    ask(artifacts, one)

    def slow(folder: Path) -> Any:
        # While this run tries its bundle, another one promotes.
        ask(artifacts, two)
        return read(folder)

    judged(artifacts, "three", "two", verdict="within noise", as_of="2026-08-01")
    with pytest.raises(BundleRefused, match="within noise of the champion"):
        promote(artifacts, third, by="Ada Trainer", as_of=AT, rules=RULES, verify=slow)
    champion = read_champion(artifacts)
    assert champion is not None and champion.bundle_id == "two"


def test_a_store_that_does_not_answer_keeps_nobody_from_serving(
    three: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, one, *_ = three
    asked: list[str] = []

    def silent(artifacts: Path, bundle_id: str, *_: Any) -> str:
        # champion.json is switched before anybody asks MLflow.
        asked.append(json.loads((artifacts / CHAMPION_FILE).read_text())["bundle_id"])
        return "MLflow could not be read"

    monkeypatch.setattr(module, "follow", silent)
    assert ask(artifacts, one).trouble == "MLflow could not be read" and asked == ["one"]


def test_approvals_survive_an_edit_of_nothing_and_no_promotion_follows_an_edit(three: tuple[Path, ...]) -> None:
    artifacts, one, *_ = three
    file = artifacts / "registry.jsonl"
    file.write_text(file.read_text().replace("Grace", "Grete", 1))
    with pytest.raises(Exception, match=r"entry 1 \(approved\) was changed"):
        ask(artifacts, one)
    assert not (artifacts / CHAMPION_FILE).exists()
