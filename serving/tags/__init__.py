"""What a CRM is given about leads and accounts."""
