"""Records in; features, facts and evaluated conditions out."""
