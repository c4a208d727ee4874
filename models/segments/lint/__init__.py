"""The field's known mistakes in segment definitions."""
