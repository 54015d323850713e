"""Fixtures of the whole session, for whoever names them."""

from tests.keystone_service import keystone

__all__ = ["keystone"]
