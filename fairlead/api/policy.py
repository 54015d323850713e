"""Who may do what, judged by oslo.policy.

The rules are those of policy_rules.py; what an operator's policy file says of one goes before
them, so a file written for Octavia works here. The file is read again when it changes; one that
is broken is refused at the start, and later leaves the last good one in force. Verdicts are
remembered, as they follow from caller, rule and project alone. Called through `Call.allow`, once
per request or object.
"""

from pathlib import Path

import structlog
from oslo_config import cfg
from oslo_policy import policy as oslo

from fairlead.api import policy_file
from fairlead.api.access import Caller
from fairlead.api.policy_rules import CONTEXT_IS_ADMIN, defaults
from fairlead.api.stamps import stamp
from fairlead.errors import Refused

log = structlog.get_logger()
_REMEMBERED = 10_000


class Policy:
    """Judges by the defaults and, if there is one, an operator's policy file (YAML or JSON).

    `new_only` False lets in the old load-balancer_* roles, too; `scoped` refuses tokens that are
    not for a project.
    """

    def __init__(
        self, file: Path | None = None, *, new_only: bool = True, scoped: bool = True
    ) -> None:
        self._file = file and file.absolute()
        self._defaults = [
            oslo.RuleDefault(name, check, scope_types=["project"] if scoped else None)
            for name, check in defaults(new_only=new_only).items()
        ]
        self._stamp = stamp(self._file)
        self._enforcer = self._load()
        self._verdicts: dict[tuple[Caller, str, str | None], bool] = {}

    def allows(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        """Whether the caller may do what the rule is about, to objects of that project.

        Without a project, nobody is their owner.
        """
        self._follow()
        asked = (caller, rule, project_id)
        known = self._verdicts.get(asked)
        if known is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            known = self._verdicts[asked] = self._judge(caller, rule, project_id)
        return known

    def _judge(self, caller: Caller, rule: str, project_id: str | None) -> bool:
        own = project_id is not None
        target = {"project_id": project_id, "tenant_id": project_id} if own else {}
        credentials = caller.credentials()
        credentials["is_admin"] |= self._enforcer.enforce(CONTEXT_IS_ADMIN, target, credentials)
        return bool(self._enforcer.enforce(rule, target, credentials))

    def _follow(self) -> None:
        """Read the file again when it is another one."""
        current = stamp(self._file)
        if current == self._stamp:
            return
        self._stamp = current
        try:
            self._enforcer = self._load()
        except Refused as error:
            log.error("policy not read, the last one stays in force", error=str(error))
        else:
            self._verdicts.clear()
            log.info("policy read again", file=str(self._file))

    def _load(self) -> oslo.Enforcer:
        """Rules of the file before the defaults; `Refused` names what is wrong in it."""
        configuration = cfg.ConfigOpts()
        configuration([], project="fairlead", default_config_files=[], default_config_dirs=[])
        enforcer = oslo.Enforcer(configuration, use_conf=False)
        enforcer.register_defaults(self._defaults)
        rules = {default.name: default.check for default in self._defaults}
        enforcer.set_rules(rules if self._file is None else policy_file.over(rules, self._file))
        return enforcer
