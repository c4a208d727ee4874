"""One file a step; a step is never edited once it was released."""
