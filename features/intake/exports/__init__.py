"""A CRM's export, database or FHIR folder becomes canonical tables, through a mapping and no code."""
