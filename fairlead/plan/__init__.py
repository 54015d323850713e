"""The pure planner: a tree and an observed world give the next wave of steps."""
