"""Measurements of a running Fairlead, on real parts: `python -m benchmarks`, as root.

Each module with a `measure` function is one chapter of the report. What they share: lab.py (a
private corner of this host), service.py (`fairlead serve` in it), api.py (requests), stage.py
(servers and load balancers), probes.py (when does a change show?), report.py (tables).
"""
