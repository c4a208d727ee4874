"""FHIR R4 resources as flat rows of text: one dict for each Practitioner, PractitionerRole, Organization and Consent.

Only what a mapping may use is picked: gender, birth date, photo and street never are. Names, e-mail addresses and
phone numbers are staged for the mapping to hash. A code that the mapping knows becomes its word; any other coding gives
its display text, for the vocabularies to judge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from features.intake.exports.fhir_consent import meaning_of
from features.intake.exports.fhir_files import Resource

Row = dict[str, str | None]
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DATE = re.compile(r"(\d{4})(-\d\d)?(-\d\d)?")
_LONGEST_ID = 64
_LATEST = "9999"
# Beyond these a zone or the end of a year no longer fits a date.
_YEARS = (2, 9998)
_NPI = re.compile(r"\d{10}")
_NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"

COLUMNS: dict[str, tuple[str, ...]] = {
    "practitioner": (
        "id", "lead_id", "version", "last_updated", "active", "registry_id", "email", "phone", "name", "credentials",
        "title", "country", "region", "language",
    ),
    "practitioner_role": (
        "id", "lead_id", "account_id", "version", "last_updated", "active", "role", "role_title", "specialty",
        "started_at", "ended_at",
    ),
    "organization": (
        "id", "account_id", "parent_account_id", "version", "last_updated", "active", "organization_type",
        "care_setting", "account_kind", "country", "region",
    ),
    "consent": (
        "id", "lead_id", "version", "last_updated", "status", "purpose", "captured_at", "expires_at", "proof",
        "fhir_status", "scope", "category", "why",
    ),
}  # fmt: skip
KINDS = {
    "Practitioner": "practitioner",
    "PractitionerRole": "practitioner_role",
    "Organization": "organization",
    "Consent": "consent",
}


class Refused(Exception):
    """A resource that cannot be a row: the element, and what was expected."""

    def __init__(self, column: str, reason: str) -> None:
        self.column, self.reason = column, reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class FhirWords:
    """`registries` are identifier systems and the short name that stands before their numbers, best first.

    `codes` are, for each column, codes written `system|code` and the word that stands for them. `as_of` is when the
    files are from: a stop whose day is not exact counts from then at the latest.
    """

    registries: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    as_of: datetime | None = None


def row_of(resource: Resource, words: FhirWords) -> Row:
    """The flat row of a resource of one of `KINDS`; raises Refused."""
    body = resource.body
    identity = body.get("id")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise Refused("id", "expected an id of 1 to 64 letters, digits, - and .")
    for part in ("modifierExtension", "implicitRules"):
        # FHIR: these change what the rest means and must not be ignored. A Consent with them can still stop.
        if body.get(part) and resource.kind != "Consent":
            raise Refused(part, "not understood, and it may change what the resource means")
    meta = _dict(body.get("meta"))
    row: Row = {"id": identity, "version": _text(meta.get("versionId"))}
    try:
        row["last_updated"] = _instant(meta.get("lastUpdated"))
    except ValueError:
        # What may stop somebody is kept without its second clock; anything else would be known before its time.
        if resource.kind != "Consent":
            raise Refused("meta.lastUpdated", "expected an instant with a zone") from None
        row["last_updated"] = None
    return _READ[resource.kind](resource, words, row)


def _practitioner(resource: Resource, words: FhirWords, row: Row) -> Row:
    body = resource.body
    name = _best(body.get("name"), ("official", "usual", None, "temp"), never=("old", "maiden", "anonymous"))
    parts = [_text(name.get("family")), *(_text(given) for given in _list(name.get("given"))[:1])]
    qualifications = [_dict(entry).get("code") for entry in _list(body.get("qualification"))]
    languages = [token for entry in _list(body.get("communication")) for token, _ in _codings(entry)]
    return row | {
        "lead_id": _shaped("Practitioner", str(row["id"])),
        "active": _yes_no(body.get("active"), "active"),
        "registry_id": _registry(body.get("identifier"), words.registries),
        "email": _contact(body.get("telecom"), "email"),
        "phone": _contact(body.get("telecom"), "phone"),
        "name": " ".join(part for part in reversed(parts) if part) or _text(name.get("text")),
        "credentials": " ".join(text for suffix in _list(name.get("suffix")) if (text := _text(suffix))) or None,
        "title": _word("title", qualifications, words),
        "country": _word_of("country", _address(body, "country"), words),
        "region": _address(body, "state"),
        "language": languages[0].rpartition("|")[2].partition("-")[0] if languages else None,
    }


def _practitioner_role(resource: Resource, words: FhirWords, row: Row) -> Row:
    body = resource.body
    person = _reference(body.get("practitioner"), "Practitioner", resource.aliases)
    if person is None:
        raise Refused("practitioner", "expected a reference to a Practitioner")
    account = _reference(body.get("organization"), "Organization", resource.aliases)
    period = _dict(body.get("period"))
    return row | {
        "lead_id": _shaped("Practitioner", person),
        "account_id": _shaped("Organization", account) if account else None,
        "active": _yes_no(body.get("active"), "active"),
        "role": _word("role", _list(body.get("code")), words),
        "role_title": next((text for code in _list(body.get("code")) if (text := _display(code))), None),
        "specialty": _word("specialty", _list(body.get("specialty")), words),
        "started_at": _moment(period.get("start"), "period.start", last=False),
        "ended_at": _moment(period.get("end"), "period.end", last=True),
    }


def _organization(resource: Resource, words: FhirWords, row: Row) -> Row:
    body = resource.body
    parent = _reference(body.get("partOf"), "Organization", resource.aliases)
    types = _list(body.get("type"))
    return row | {
        "account_id": _shaped("Organization", str(row["id"])),
        "parent_account_id": _shaped("Organization", parent) if parent else None,
        "active": _yes_no(body.get("active"), "active"),
        "organization_type": _word("organization_type", types, words),
        "care_setting": _known("care_setting", types, words),
        "account_kind": _known("account_kind", types, words),
        "country": _word_of("country", _address(body, "country"), words),
        "region": _address(body, "state"),
    }


def _consent(resource: Resource, words: FhirWords, row: Row) -> Row:
    """A professional's own consent has no patient, and them as performer; else it is the patient's."""
    body = resource.body
    lead = None
    if body.get("patient") is not None:
        lead = _referred(body["patient"], ("Patient", "Practitioner"), resource.aliases)
    else:
        performers = [_referred(one, ("Practitioner",), resource.aliases) for one in _list(body.get("performer"))]
        lead = performers[0] if len(performers) == 1 else None
    if lead is None:
        raise Refused("patient", "expected a reference to the person, a Patient or one Practitioner as performer")
    meaning = meaning_of(body)
    if not meaning.status:
        raise Refused("status" if "status" in meaning.why else "provision", f"says nothing: {meaning.why}")
    granted = meaning.status == "granted"
    period = _dict(_dict(body.get("provision")).get("period"))
    try:
        captured = _moment(body.get("dateTime"), "dateTime", last=not granted)
        start = _moment(period.get("start"), "provision.period.start", last=False)
        if granted and captured and start:
            captured = max(captured, start)  # a permission counts from when it was given and has begun
        ends = _moment(period.get("end"), "provision.period.end", last=True)
    except Refused:
        if granted:
            raise
        captured = ends = None
    if granted and captured is None:
        raise Refused("dateTime", "expected the day on which it was given")
    if not granted and words.as_of is not None:
        # A stop without its exact instant counts as the latest word there can be.
        captured = min(captured or _LATEST, row["last_updated"] or _LATEST, written(words.as_of))
    return row | {
        "lead_id": lead,
        "status": meaning.status,
        "purpose": meaning.purpose or None,
        "captured_at": captured,
        "expires_at": ends if granted else None,
        "proof": f"Consent/{row['id']}",
        "fhir_status": _text(body.get("status")),
        "scope": _tokens([body.get("scope")]),
        "category": _tokens(_list(body.get("category"))),
        "why": meaning.why,
    }


_READ: dict[str, Callable[[Resource, FhirWords, Row], Row]] = {
    "Practitioner": _practitioner,
    "PractitionerRole": _practitioner_role,
    "Organization": _organization,
    "Consent": _consent,
}


def _shaped(kind: str, identity: str) -> str:
    """An id that tells Patient/f001 from Practitioner/f001, which are two people; hashed where it gets too long."""
    full = f"{kind}/{identity}"
    if len(full) <= _LONGEST_ID:
        return full
    return f"{kind}/{hashlib.sha256(identity.encode()).hexdigest()[: _LONGEST_ID - len(kind) - 1]}"


def _referred(value: Any, kinds: tuple[str, ...], aliases: Mapping[str, str]) -> str | None:
    for kind in kinds:
        found = _reference(value, kind, aliases)
        if found is not None:
            return _shaped(kind, found)
    return None


def _reference(value: Any, kind: str, aliases: Mapping[str, str]) -> str | None:
    """The id a reference names: relative, absolute, of one version, or an address of the Bundle."""
    text = _text(_dict(value).get("reference"))
    if text is None or text.startswith("#"):
        return None
    if text.startswith("urn:"):
        declared = _text(_dict(value).get("type"))
        found = aliases.get(text) or text.rpartition(":")[2]
        return found if declared in (None, kind) and _ID.fullmatch(found) else None
    match = re.search(rf"(?:^|/){kind}/([A-Za-z0-9\-.]{{1,64}})(?:/_history/[^/]+)?$", text)
    return match.group(1) if match else None


def _registry(identifiers: Any, registries: Mapping[str, str]) -> str | None:
    """The number in the first registry of the mapping's order that gives one, e.g. `npi:1234567893`."""
    known = [_dict(entry) for entry in _list(identifiers)]
    for system, name in registries.items():
        for entry in known:
            value = (_text(entry.get("value")) or "").upper().replace(" ", "")
            if entry.get("system") != system or entry.get("use") in ("old", "temp") or len(set(value)) < 2:
                continue
            if system == _NPI_SYSTEM and not is_npi(value):
                continue
            if len(name) + 1 + len(value) <= _LONGEST_ID and "@" not in value:
                return f"{name}:{value}"
    return None


def is_npi(number: str) -> bool:
    """Whether the check digit fits: Luhn over 80840 and the ten digits (CMS, NPI Check Digit Calculation).

    >>> is_npi("1234567893"), is_npi("1234567890")
    (True, False)
    """
    if not _NPI.fullmatch(number):
        return False
    digits = [int(digit) for digit in reversed("80840" + number)]
    return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


def _contact(telecom: Any, system: str) -> str | None:
    entries = [entry for entry in map(_dict, _list(telecom)) if entry.get("system") == system]
    return _text(_best(entries, ("work", None, "mobile", "home"), never=("old", "temp")).get("value"))


def _address(body: dict[str, Any], part: str) -> str | None:
    entries = [entry for entry in map(_dict, _list(body.get("address"))) if _text(entry.get(part))]
    return _text(_best(entries, ("work", None, "billing", "home"), never=("old", "temp")).get(part))


def _best(entries: Any, uses: tuple[str | None, ...], never: tuple[str, ...]) -> dict[str, Any]:
    """The first entry of the use that comes first; an unheard-of use comes last."""
    found = [entry for entry in map(_dict, _list(entries)) if entry.get("use") not in never]
    return min(found, key=lambda e: uses.index(e.get("use")) if e.get("use") in uses else len(uses), default={})


def _codings(concept: Any) -> list[tuple[str, str | None]]:
    """Codes of a concept as `system|code`, each with its display text."""
    found = [_dict(coding) for coding in _list(_dict(concept).get("coding"))]
    return [
        (f"{_text(c.get('system')) or ''}|{code}", _text(c.get("display")))
        for c in found
        if (code := _text(c.get("code")))
    ]


def _known(column: str, concepts: list[Any], words: FhirWords) -> str | None:
    codes = words.codes.get(column, {})
    return next((codes[token] for concept in concepts for token, _ in _codings(concept) if token in codes), None)


def _word(column: str, concepts: list[Any], words: FhirWords) -> str | None:
    """The word of the first code that the mapping knows, else what the first concept is called."""
    known = _known(column, concepts, words)
    return known or next((text for concept in concepts if (text := _display(concept))), None)


def _word_of(column: str, text: str | None, words: FhirWords) -> str | None:
    return words.codes.get(column, {}).get(text.upper(), text) if text else None


def _display(concept: Any) -> str | None:
    return _text(_dict(concept).get("text")) or next((text for _, text in _codings(concept) if text), None)


def _tokens(concepts: list[Any]) -> str | None:
    return " ".join(token for concept in concepts for token, _ in _codings(concept))[:200] or None


def _instant(value: Any) -> str | None:
    """An instant of FHIR in UTC, written so that text order is time order; ValueError if it is none."""
    if value is None:
        return None
    if not isinstance(value, str) or "T" not in value:
        raise ValueError(value)
    found = datetime.fromisoformat(value)
    if found.tzinfo is None or not _YEARS[0] <= found.year <= _YEARS[1]:
        raise ValueError(value)
    return written(found)


def _moment(value: Any, column: str, *, last: bool) -> str | None:
    """First or last instant of a date that may lack its day or month, in UTC; raises Refused."""
    if value is None:
        return None
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            return _instant(value)
        year, month, day = int(match[1]), int((match[2] or "-1")[1:]), int((match[3] or "-1")[1:])
        if not _YEARS[0] <= year <= _YEARS[1]:
            raise ValueError(value)
        first = datetime(year, month, day, tzinfo=UTC)
        if not last:
            return written(first)
        if match[3]:
            after = first + timedelta(days=1)
        else:
            after = first.replace(year=year + (month == 12 or not match[2]), month=month % 12 + 1 if match[2] else 1)
        return written(after - timedelta(microseconds=1))
    except ValueError:
        raise Refused(column, "expected a date, or an instant with a zone") from None


def written(moment: datetime) -> str:
    """An instant in UTC, written so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _yes_no(value: Any, column: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, bool):
        raise Refused(column, "expected true or false")
    return "true" if value else "false"


def _text(value: Any) -> str | None:
    return (value.strip() or None) if isinstance(value, str) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
