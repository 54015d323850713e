"""The reconcile loop, the executor, health and housekeeping."""
