"""Hashes of e-mail addresses and phone numbers by lead, which the encoded tables drop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.intake.scan import SUFFIXES, connect, files_of, literal, quoted, readable

# What somebody erased is known by besides their id.
HASHES = {"email_hash": "email", "phone_hash": "phone"}
_AT_ONCE = 20_000


def hashes_of(leads: Path, *, memory_limit_mb: int = 512) -> Iterator[tuple[str, str, str]]:
    """Each (lead id, email or phone, hash) of a leads file, of any version of a lead; raises InputInvalid.

    A row that cannot be read is left out: intake rejects it, and counts it, where it reads the same file.
    """
    files = files_of("leads", leads)
    kind = SUFFIXES[files[0].suffix.lower()]
    options = {"csv": ", all_varchar = true, ignore_errors = true", "json": ", ignore_errors = true"}.get(kind, "")
    listed = ", ".join(literal(str(file.resolve())) for file in files)
    source = f"read_{kind}([{listed}], union_by_name = true{options})"
    con = connect(files, memory_limit_mb=memory_limit_mb, threads=1, spill=None)
    try:
        with readable(str(leads)):
            there = {str(name) for name, *_ in con.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()}
            for name, of in HASHES.items():
                if not {name, "lead_id"} <= there:
                    continue
                value = f"trim(CAST({quoted(name)} AS VARCHAR))"
                query = f"SELECT trim(CAST(lead_id AS VARCHAR)), {value} FROM {source} WHERE {value} <> ''"
                found = con.execute(query)
                while rows := found.fetchmany(_AT_ONCE):
                    for lead_id, hashed in rows:
                        if lead_id is not None:
                            yield lead_id, of, hashed
    finally:
        con.close()
