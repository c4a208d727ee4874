"""Whether tables hold anything of what a bundle learned from: scoring them else would look like an answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from configs.errors import BundleRefused
from features.catalog import FROM_EVENTS
from features.pipeline import FeatureSpec
from features.tables import Tables


def refuse_unfit(spec: FeatureSpec, attributes: Mapping[str, bool], tables: Tables) -> None:
    """Raise BundleRefused where the tables hold nothing of it; `attributes` are the custom columns it learned from."""
    if not len(tables.lead_ids):
        return
    learned = sorted(attributes)
    if learned and tables.attributes.keys().isdisjoint(learned):
        shown = ", ".join(learned[:5]) + (", ..." if len(learned) > 5 else "")
        raise BundleRefused(
            f"the bundle does not fit this input: it learned from the columns {shown}, and the input has none of "
            "them; name the source whose export it was trained on, or use a bundle trained on event tables"
        )
    needs_events = any(f.source in (*FROM_EVENTS, "roll_up", "roll_up_share") for f in spec.features)
    if needs_events and not learned and not tables.events and (tables.attributes or not _tells(spec, tables)):
        raise BundleRefused(
            "the bundle does not fit this input: it learned from event tables, and the input has no events; give "
            "the events, or use a bundle trained on this export"
        )


def _tells(spec: FeatureSpec, tables: Tables) -> bool:
    """Whether anything is known of any lead or account that the bundle looks at."""
    for feature in spec.features:
        if feature.source in ("lead", "account"):
            column = (tables.leads if feature.source == "lead" else tables.accounts).get(feature.field)
            if column is not None and bool(np.any(column > 0)):
                return True
    return False
