"""Qualified leads and how they come to sales: thresholds and lanes, the record that goes along, the call plan."""
