"""The feature spec, the catalog and fit features."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from configs.mapping import AttributeColumn
from configs.settings import load_settings
from features.encode import encode_records
from features.facts import FactBuilder
from features.inventory import Inventory
from features.pipeline import FeatureSpec, build_features, features_of, fit_spec, signals_of
from features.records import Account, Lead
from features.tables import known_at
from features.view import ViewRules
from features.warm import one_row_of_each, warm_up

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
SETTINGS = load_settings()
VOCABULARIES = SETTINGS.vocabularies
SPEC = fit_spec(SETTINGS)


def values(tables, spec=SPEC, lead=0):
    features = build_features(tables, AS_OF, spec, ViewRules.of(SETTINGS))
    return dict(zip(features.names, features.matrix[lead].tolist(), strict=True))


def test_every_feature_has_a_name_of_its_group_and_a_sentence():
    assert len(set(SPEC.names)) == len(SPEC.names)
    for feature in SPEC.features:
        assert feature.name.startswith(f"{feature.group}_")
        assert feature.says[0].isupper() and len(feature.says.split()) >= 3
        assert not (feature.categorical and feature.monotone)
    assert len({feature.says for feature in SPEC.features}) == len(SPEC.features)


def test_names_are_derived_from_what_they_measure():
    expected = {
        "engagement_demo_request_count_30d",
        "engagement_topic_pricing_count_90d",
        "engagement_depth_detailed_count_90d",
        "engagement_days_since_last_demo_request",
        "engagement_decay_fast",
        "account_colleague_event_count_90d",
        "fit_role",
        "fit_account_care_setting",
        "fit_days_since_created",
        "fit_verified_hcp",
    }
    assert expected <= set(SPEC.names)


def test_no_feature_measures_an_off_label_question():
    assert not [name for name in SPEC.names if "off_label" in name]


def test_signs_are_declared_where_the_field_knows_them():
    sign = dict(zip(SPEC.names, SPEC.monotone, strict=True))
    assert sign["engagement_demo_request_count_7d"] == 1
    assert sign["engagement_decay_slow"] == 1
    assert sign["engagement_days_since_last_event"] == -1
    assert sign["engagement_email_open_count_7d"] == 0
    assert all(sign[SPEC.names[i]] == 0 for i in SPEC.categorical)


def test_a_spec_survives_json_and_its_version_follows_its_content():
    again = FeatureSpec.from_json(SPEC.to_json())
    assert again == SPEC
    assert again.version == SPEC.version
    assert replace(SPEC, features=SPEC.features[1:]).version != SPEC.version


def test_fit_features_are_codes_and_days_and_unknown_is_nan():
    lead = Lead(
        lead_id="L1",
        account_id="A",
        role="nurse",
        created_at=AS_OF - timedelta(days=10),
        verified_at=AS_OF + timedelta(days=1),
        verified_hcp=True,
    )
    account = Account(account_id="A", care_setting="community")
    seen = values(encode_records([lead, Lead(lead_id="L2")], [account], vocabularies=VOCABULARIES))
    assert seen["fit_role"] == VOCABULARIES["role"].code("nurse")
    assert seen["fit_account_care_setting"] == VOCABULARIES["care_setting"].code("community")
    assert seen["fit_days_since_created"] == 10
    assert np.isnan(seen["fit_days_since_verified"])
    assert seen["fit_verified_hcp"] == 1
    assert np.isnan(seen["fit_specialty"])
    other = values(encode_records([lead, Lead(lead_id="L2")], [account], vocabularies=VOCABULARIES), lead=1)
    assert np.isnan(list(other.values())).all()


def flat(visits, source):
    # What nobody registered may come from health records: of somebody unknown nothing of it may be used.
    leads = [Lead(lead_id="a", role="nurse", audience="buyer"), Lead(lead_id="b", audience="buyer")]
    tables = encode_records(leads, vocabularies=VOCABULARIES)
    return replace(
        tables,
        attributes={"Total Visits": np.array(visits, dtype=float), "Lead Source": np.array(source, dtype=object)},
    )


def test_a_flat_export_has_its_attributes_and_only_what_its_tables_can_tell():
    spec = fit_spec(SETTINGS, flat([3, np.nan], ["Google", "Chat"]))
    assert spec.names == ("fit_audience", "fit_role", "fit_lead_source", "fit_total_visits")
    assert spec.categories["fit_lead_source"] == ("Chat", "Google")
    assert spec.categorical == (0, 1, 2)
    later = build_features(flat([np.inf, 4], ["Unseen", None]), AS_OF, spec, ViewRules.of(SETTINGS)).matrix
    assert np.isnan(later[:, 2]).all()
    np.testing.assert_array_equal(later[:, 3], [np.nan, 4])
    assert FeatureSpec.from_json(spec.to_json()) == spec


def test_a_mapping_names_the_group_of_an_attribute():
    column = AttributeColumn(
        column="Total Visits", type="number", known_at="before_outcome", group="engagement", says="Visits before"
    )

    class Mapping:
        attributes = (column,)

    spec = fit_spec(SETTINGS, flat([3, 1], ["Google", "Chat"]), Mapping())
    feature = next(f for f in spec.features if f.field == "Total Visits")
    assert (feature.name, feature.group, feature.says) == ("engagement_total_visits", "engagement", "Visits before")


def test_signals_of_another_plan_are_not_used():
    tables = one_row_of_each()
    known = known_at(tables, AS_OF)
    other = SETTINGS.features.model_copy(update={"windows_days": (7, 90)})
    shared = signals_of(known, fit_spec(SETTINGS.model_copy(update={"features": other})).plan, 1)
    np.testing.assert_array_equal(features_of(known, SPEC, shared).matrix, features_of(known, SPEC).matrix)


def test_warming_up_needs_no_data():
    warm_up(SPEC, FactBuilder.of(SETTINGS), Inventory.of(SETTINGS.assets, VOCABULARIES))
