"""Files and databases in; encoded tables and a list of rejected rows out."""
