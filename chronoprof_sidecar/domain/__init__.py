"""What the numbers mean: pure rules and structures without I/O, clock or framework."""
