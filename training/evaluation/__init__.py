"""How good a model is, where, for whom and beside what else; the model card that says it."""
