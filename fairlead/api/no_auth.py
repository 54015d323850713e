"""Authentication switched off: every caller is an operator. For tests and client developers."""

from collections.abc import Mapping

from fairlead.api.access import Caller


class NoAuth:
    """Everybody may do everything, in the project that the header X-Project-Id names."""

    own_projects = True

    def __init__(self, default_project: str = "default") -> None:
        self._default_project = default_project

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Never refuses."""
        project = headers.get("x-project-id") or self._default_project
        return Caller(
            user="noauth", project_id=project[:36], roles=frozenset({"admin"}), everything=True
        )
