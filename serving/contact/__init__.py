"""The send gate and its permits, and the stops and touches that the store is told."""
