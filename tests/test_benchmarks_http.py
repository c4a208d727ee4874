"""The endpoint that does nothing takes the very requests that the real one takes; else the comparison cannot run."""

from __future__ import annotations

from benchmarks.http_noop import Body, Events, Item
from features.records import Event
from serving.api import LeadRequest


def test_the_endpoint_that_does_nothing_knows_every_field_of_a_request() -> None:
    assert set(Events.model_fields) == set(Event.__struct_fields__)
    assert set(Item.model_fields) == set(LeadRequest.__struct_fields__)
    assert "as_of" in Body.model_fields
