"""The fact dictionary: declared facts with their values resolved, and the engagement counts that features.yaml implies.

This is the one place where count facts get their names, so rules, segments and the fact builder cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

from configs.cards import FactDeclaration
from configs.measures import FeatureSettings
from configs.vocabulary import YES_NO, Vocabulary

MAX_COUNT = 1_000_000
# Facts that exist once readiness does: only overlay segments look at them, never a rule, never a point.
AFTER_READINESS = ("band", "readiness")
# Facts about a datum and not about a lead: only the cards of the feature gate look at them, and no table tells them.
OF_A_DATUM = ("data_kind", "data_source_listed")


def count_facts(features: FeatureSettings) -> dict[str, FactDeclaration]:
    """The count facts that the declared kinds, topics, depths, channels and windows imply, in whole events.

    Each event counts as much as it is likely that a person made it; the sum is rounded, halves up.
    """
    window = features.topic_window_days
    named = {f"{kind}_count_{w}d": f"{kind} in {w} days" for kind in features.kinds for w in features.windows_days}
    named |= {f"topic_{topic}_count_{window}d": f"events about {topic} in {window} days" for topic in features.topics}
    named |= {f"depth_{depth}_count_{window}d": f"{depth} content in {window} days" for depth in features.depths}
    named |= {
        f"channel_{channel}_count_{window}d": f"events on {channel} in {window} days" for channel in features.channels
    }
    named[f"distinct_asset_count_{window}d"] = f"different resources in {window} days"
    named[f"suspect_event_count_{window}d"] = f"events likelier made by a machine in {window} days"
    named[f"repeated_theme_count_{window}d"] = f"topics asked about at least twice in {window} days"
    return {
        name: FactDeclaration(type="int", says=f"number of {says.replace('_', ' ')}", source="events", max=MAX_COUNT)
        for name, says in named.items()
    }


def fact_dictionary(
    declared: Mapping[str, FactDeclaration], features: FeatureSettings, vocabularies: Mapping[str, Vocabulary]
) -> dict[str, FactDeclaration]:
    """Every fact with its `values` filled in; raises KeyError naming a vocabulary that does not exist."""
    resolved = count_facts(features)
    for name, fact in declared.items():
        if fact.type == "yesno":
            values = YES_NO.values
        elif fact.type == "enum" and fact.vocabulary is not None:
            values = vocabularies[fact.vocabulary].values
        else:
            values = fact.values
        resolved[name] = fact.model_copy(update={"values": values})
    return resolved
