"""The words of docs/reference.md that the code does not carry itself: plain data, each entry checked by a test."""

from __future__ import annotations

# Default cards of the policy that have no shipped card; one that gets a card drops out of the page by itself.
NOT_SHIPPED = {
    "GEN-02": "A stale suppression feed as a card of its own (today the fact builder makes every opt-out unknown)",
    "GEN-06": "Data source not registered for this purpose, license expired, or purpose not compatible",
    "GEN-07": "EU and UK: notice to people from third-party lists missing or late",
    "GEN-08": "Merged duplicates disagree, or a match is unresolved",
    "FEA-01": "Health data of a person as a feature without consent for that purpose (today refused by name)",
    "FEA-02": "Protected traits and their proxies as features (today refused by name)",
    "FEA-03": "United States: prescriber who restricted their prescribing data",
    "FEA-04": "Vermont, New Hampshire, Maine: prescriber-identifiable data in marketing (off by default)",
    "RX-02": "Product or indication not authorized in the lead's market",
    "US-01": "United States e-mail: working opt-out, postal address, honest header; pending opt-outs",
    "US-03": "United States: revocation by any reasonable means ends all texts and calls",
    "US-05": "United States: calling hours, unknown time zone, state telemarketing rules",
    "US-06": "United States: protected health information without a valid authorization",
    "US-07": "Texas: health information in marketing without clear permission",
    "US-08": "Washington: consumer health data, inferences included, without consent",
    "US-09": "Nevada, Connecticut and sister laws on consumer health data",
    "US-10": "United States: opted out of sale or sharing, or a global privacy control signal seen",
    "US-11": "United States: lists that reveal a condition uploaded to advertising platforms",
    "HCP-02": "License inactive, retired, excluded or unknown",
    "HCP-03": "Offer carries a transfer of value; gift-ban or cap state; detailer registration",
}
NOT_SHIPPED_PERMITS = {
    "P-FR-B2B": "France: professional address, message relevant to the profession, notice and opt-out",
}

GATE_SAYS = {
    "PROTECTED_TRAIT_FEATURE": "A feature's name says a protected trait or a known proxy of one; training refuses it.",
    "SENSITIVE_HEALTH_FEATURE": "A feature's name says a person's own health data; training refuses it.",
    "MEDICAL_CASE_FEATURE": "An off-label question or adverse event is no buying intent; training refuses it.",
}

REJECTION_SAYS = {
    "INVALID": "A field is unknown, of the wrong type or out of range; `path` and `expected` say which and what.",
    "DUPLICATE_LEAD": "The same lead id came earlier in this request.",
    "ID_MISMATCH": "A row names another lead or account than the item it came with.",
}

ABSTAIN_SAYS = {
    "SEGMENT_UNKNOWN": "the lead has no primary segment",
    "TOO_FEW_KNOWN_FEATURES": "a smaller share of its features than `min_known_share` is known",
    "INTERVAL_TOO_WIDE": "the 80 % interval is wider than `max_interval_width`",
    "NO_SCORE": "a rule says that this lead may not be scored; there is no probability either",
}

ENVIRONMENT = {
    "LEADWELL_API_KEY": "keys that the service accepts, separated by commas while one is rotated",
    "LEADWELL_ALLOW_NO_KEY": "`1`: start without a key; `leadwell serve --no-key` sets it, on this machine only",
    "LEADWELL_BUNDLE": "bundle folder to serve, instead of the champion's",
    "LEADWELL_CHAMPION": "the champion file; `artifacts/champion.json` when absent",
    "LEADWELL_CONFIGS": "configuration folder of the service, instead of the shipped one",
    "LEADWELL_AUDIT": "audit folder of the service; `artifacts/audit` when absent",
    "LEADWELL_AUDIT_KEY": "key of the pseudonyms in the audit log; when absent, a key file in the audit folder",
    "LEADWELL_AS_OF": "pins the service's clock, for demos and tests",
    "LEADWELL_WORKERS": "processes of the service; 1 when absent",
}

SETTING_SAYS = {
    "target_kinds": "outcomes that count as success",
    "horizon_days": "days after the snapshot in which the outcome must come",
    "snapshots": "how many moments in the past each lead is learned from",
    "snapshot_every_days": "days between snapshots",
    "folds": "parts by root account for out-of-sample predictions",
    "holdout_share": "share of root accounts held out, and of the latest rows that settle choices",
    "rounds": "most trees of a booster; fewer where later rows say so",
    "leaves": "most leaves of a tree",
    "depth": "most features on a path",
    "learning_rate": "how much of each tree is taken",
    "min_leaf": "fewest rows in a leaf",
    "l2": "pull of leaf values toward zero",
    "feature_fraction": "share of the features offered to each tree",
    "segment_min_rows": "fewest rows before a segment may try a booster of its own",
    "shrinkage_rows": "rows at which a segment's own booster and calibration count half",
    "bands": "lowest probability of each band",
    "max_interval_width": "widest interval that still gets a band",
    "min_known_share": "smallest share of known features that still gets a band",
    "seed": "of every random choice in training",
    "threads": "of LightGBM",
    "max_leads": "most leads in a request",
    "inline_leads": "a request of more leads is decided in a thread beside the event loop",
    "max_single_bytes": "largest body with one lead",
    "max_bulk_bytes": "largest body",
    "timeout_seconds": "after which BentoML gives up on a request",
    "max_concurrency": "requests at once before BentoML answers 429",
    "drivers_shown": "drivers in an answer; the others are summed in `rest`",
    "partition_leads": "leads in a partition of a rescore",
    "audit_checkpoint_every": "records between two checkpoints of the audit log",
    "windows_days": "windows of the event counts",
    "kinds": "event kinds that are counted one by one",
    "topics": "topics that are counted",
    "topic_window_days": "window of topics, depths, channels and days",
    "depths": "content depths that are counted",
    "decays": "decayed counts with their half-lives",
    "lead_fields": "fields of the lead that are features",
    "account_fields": "fields of the account that are features",
    "monotone": "signs that replace those of the catalog, by feature name",
    "human": "evidence that a person made an event",
    "channels": "event channels that are counted",
    "shares": "topics and channels whose share is a feature",
    "question_kinds": "event kinds that ask something, for repeated themes",
    "touch_windows_days": "windows of the counts of our own touches; none turns the history off",
    "valid_days": "age until which an event of a kind counts anywhere",
    "role_signals": "topics that mean more to some roles",
    "account": "how colleagues count",
}

FEATURE_SAYS = {
    "human.certain": "event kinds that no machine can make",
    "human.prior": "log-odds that a person made an event of any other kind",
    "human.priors": "the same by kind",
    "human.agents": "log-odds that what fetched it adds",
    "human.opens": "event kinds that open a message",
    "human.clicks": "event kinds that follow a link",
    "human.visits": "event kinds that confirm a click",
    "human.after_send": "log-odds by seconds since our message; the first step that fits counts",
    "human.burst.clicks": "clicks that make a burst",
    "human.burst.within_seconds": "in which they must come",
    "human.burst.log_odds": "what being in a burst adds",
    "human.untraced.visit_within_minutes": "in which a visit still confirms a click",
    "human.untraced.log_odds": "what a click adds that nothing confirms",
    "human.domains": "log-odds of mail domains, where the delay since our message is not known",
    "shares.topics": "topics whose share is a feature",
    "shares.channels": "channels whose share is a feature",
    "account.silent_days": "days without an event after which a colleague is silent",
    "account.role_weights": "weight of a colleague by role",
    "account.influence_weights": "weight of a colleague by influence",
}
