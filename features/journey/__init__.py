"""How far a lead has come with its product, by what tracked events show."""
