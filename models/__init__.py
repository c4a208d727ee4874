"""What is learned: segments, readiness, drivers, bundles. Code only; trained bundles live in artifacts/."""
