"""Fairlead: load balancing as a service that speaks the Octavia v2 API and never locks."""

__version__ = "0.1.0"
