"""What marketing did and what came of it: KPIs, funnel, campaigns, attribution, controlled tests, one page."""
