"""The database of what stops people from being contacted, of what was sent, and of permits that were used."""
