"""The declared targets as a chapter of docs/reference.md."""

from __future__ import annotations

from collections.abc import Iterator

from configs.settings import Settings


def target_chapter(settings: Settings) -> Iterator[str]:
    """What is predicted, for whom otherwise, and the settings of the records' history."""
    from cli.reference import shown_settings, table
    from cli.reference_words import SETTING_SAYS
    from cli.targets import declared_row

    yield "## Targets"
    yield (
        f"What readiness predicts, from `configs/targets.yaml`; `{settings.targets.served.id}` serves. The funnel is "
        f"{', '.join(('lead', *settings.targets.funnel))}: a stage is reached by its own outcomes or a later one's."
    )
    rows = [
        (f"`{row[0]}`", *row[1:]) for row in (declared_row(one, settings) for one in settings.targets.by_id.values())
    ]
    yield table(("id", "says", "what counts", "days", "otherwise"), rows)
    history = shown_settings(settings.targets.history, "history.")
    yield table(
        ("key", "shipped", "default", "what"),
        [(f"`{key}`", shown, default, SETTING_SAYS[key.rsplit(".", 1)[-1]]) for key, shown, default in history],
    )
