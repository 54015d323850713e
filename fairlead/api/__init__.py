"""The Octavia v2 API over HTTP."""
