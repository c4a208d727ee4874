"""Who a row of the store is about: keyed pseudonyms, different ones for leads, accounts and the erased.

Without the key nobody can tell whom a row is about, or whether two kinds of rows are about the same person.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from policy.audit.pseudonyms import pseudonym

LEAD, ACCOUNT = "lead", "account"


@dataclass(frozen=True, slots=True)
class Subjects:
    """Pseudonyms under one key; those of leads are the audit log's."""

    key: bytes
    account_key: bytes
    hash_key: bytes
    permit_key: bytes
    fingerprint: str

    @classmethod
    def of(cls, key: bytes) -> Subjects:
        """Derive a key for each use (HMAC-SHA256, RFC 2104), so that none of them tells of another."""

        def derived(use: bytes) -> bytes:
            return hmac.digest(key, b"leadwell store\x00" + use, "sha256")

        return cls(key, derived(b"account"), derived(b"erased"), derived(b"permit"), derived(b"fingerprint").hex())

    def lead(self, lead_id: str) -> str:
        """Of a lead."""
        return pseudonym(self.key, lead_id)

    def account(self, account_id: str) -> str:
        """Of an account."""
        return pseudonym(self.account_key, account_id)

    def erased(self, of: str, value: str) -> str:
        """Of somebody erased, by `of`: lead, email or phone. One-way, and under a key of its own."""
        return hmac.digest(self.hash_key, of.encode() + b"\x00" + value.encode(), "sha256").hex()

    def content(self, *values: object) -> str:
        """What a row said, to tell a repeated request from another one under the same id."""
        return hmac.digest(self.account_key, repr(values).encode(), hashlib.sha256).hex()
