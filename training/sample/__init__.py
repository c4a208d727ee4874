"""The sample world: a made world whose truth is known."""
