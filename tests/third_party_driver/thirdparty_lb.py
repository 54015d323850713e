"""A provider driver as a third party writes one: it knows octavia-lib and nothing of Fairlead.

Everything it does can be read in, and is told by, files of the directory THIRDPARTY_HOME:
`calls` has a line of JSON for each call; a file named like a function holds the fault which that
raises (a class of octavia-lib's exceptions with its two texts), or how many seconds it takes;
`prompt` makes the driver report ACTIVE and ONLINE from inside of each call, `vip` lets it make VIP
ports itself.
"""

import json
import os
import time
from pathlib import Path

from octavia_lib.api.drivers import data_models, driver_lib, exceptions, provider_base

HOME = Path(os.environ.get("THIRDPARTY_HOME", "/nonexistent"))
KINDS = {
    "LoadBalancer": ("loadbalancers", "loadbalancer_id"),
    "Listener": ("listeners", "listener_id"),
    "Pool": ("pools", "pool_id"),
    "Member": ("members", "member_id"),
    "HealthMonitor": ("healthmonitors", "healthmonitor_id"),
    "L7Policy": ("l7policies", "l7policy_id"),
    "L7Rule": ("l7rules", "l7rule_id"),
}


def library() -> driver_lib.DriverLibrary:
    """The way back, where the operator has put it."""
    sockets = json.loads((HOME / "sockets").read_text())
    return driver_lib.DriverLibrary(**sockets)


def plain(value):
    """Models as what JSON can say."""
    if isinstance(value, data_models.BaseDataModel):
        return value.to_dict(recurse=True, render_unsets=False)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


class Driver(provider_base.ProviderDriver):
    """Does everything, and writes it down."""

    def _do(self, function, *arguments, **named):
        line = {"name": self.name, "function": function, "arguments": plain(arguments), **named}
        with (HOME / "calls").open("a") as calls:
            calls.write(json.dumps(line) + "\n")
        plan = HOME / function
        if plan.exists():
            self._misbehave(json.loads(plan.read_text()))
        if (HOME / "prompt").exists() and arguments:
            self._report(arguments[-1])

    def _misbehave(self, plan):
        if "seconds" in plan:
            time.sleep(plan["seconds"])
        if "raise" in plan:
            known = getattr(exceptions, plan["raise"], None)
            if known is None:
                raise RuntimeError("the password is hunter2")
            raise known(user_fault_string=plan["user"], operator_fault_string=plan["operator"])

    def _report(self, model):
        statuses = {}
        for one in self._all(model):
            plural, name = KINDS[type(one).__name__]
            statuses.setdefault(plural, []).append(
                {
                    "id": getattr(one, name),
                    "provisioning_status": "ACTIVE",
                    "operating_status": "ONLINE",
                }
            )
        library().update_loadbalancer_status(statuses)

    def _all(self, model):
        if isinstance(model, list):
            for one in model:
                yield from self._all(one)
        elif isinstance(model, data_models.BaseDataModel):
            yield model
            for name in ("listeners", "pools", "members", "l7policies", "rules"):
                yield from self._all(getattr(model, name, None))
            yield from self._all(getattr(model, "healthmonitor", None))

    def create_vip_port(self, loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts):
        if not (HOME / "vip").exists():
            return super().create_vip_port(
                loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts
            )
        self._do("create_vip_port", loadbalancer_id, project_id, vip_dictionary)
        made = {
            "vip_port_id": "9e0d7f3a-6f1f-4d4e-8f3f-0d3f0a6f3f01",
            "vip_address": "203.0.113.9",
            "vip_network_id": "9e0d7f3a-6f1f-4d4e-8f3f-0d3f0a6f3f02",
        }
        return {**vip_dictionary, **made}, additional_vip_dicts

    def loadbalancer_create(self, loadbalancer):
        self._do("loadbalancer_create", loadbalancer)

    def loadbalancer_delete(self, loadbalancer, cascade=False):
        self._do("loadbalancer_delete", loadbalancer, cascade=cascade)

    def loadbalancer_failover(self, loadbalancer_id):
        self._do("loadbalancer_failover", loadbalancer_id)

    def loadbalancer_update(self, old_loadbalancer, new_loadbalancer):
        self._do("loadbalancer_update", old_loadbalancer, new_loadbalancer)

    def listener_create(self, listener):
        self._do("listener_create", listener)

    def listener_delete(self, listener):
        self._do("listener_delete", listener)

    def listener_update(self, old_listener, new_listener):
        self._do("listener_update", old_listener, new_listener)

    def pool_create(self, pool):
        self._do("pool_create", pool)

    def pool_delete(self, pool):
        self._do("pool_delete", pool)

    def pool_update(self, old_pool, new_pool):
        self._do("pool_update", old_pool, new_pool)

    def member_create(self, member):
        self._do("member_create", member)

    def member_delete(self, member):
        self._do("member_delete", member)

    def member_update(self, old_member, new_member):
        self._do("member_update", old_member, new_member)

    def member_batch_update(self, pool_id, members):
        self._do("member_batch_update", pool_id, members)

    def health_monitor_create(self, healthmonitor):
        self._do("health_monitor_create", healthmonitor)

    def health_monitor_delete(self, healthmonitor):
        self._do("health_monitor_delete", healthmonitor)

    def health_monitor_update(self, old_healthmonitor, new_healthmonitor):
        self._do("health_monitor_update", old_healthmonitor, new_healthmonitor)

    def l7policy_create(self, l7policy):
        self._do("l7policy_create", l7policy)

    def l7policy_delete(self, l7policy):
        self._do("l7policy_delete", l7policy)

    def l7policy_update(self, old_l7policy, new_l7policy):
        self._do("l7policy_update", old_l7policy, new_l7policy)

    def l7rule_create(self, l7rule):
        self._do("l7rule_create", l7rule)

    def l7rule_delete(self, l7rule):
        self._do("l7rule_delete", l7rule)

    def l7rule_update(self, old_l7rule, new_l7rule):
        self._do("l7rule_update", old_l7rule, new_l7rule)

    def get_supported_flavor_metadata(self):
        return {"metal": "How much of it."}

    def validate_flavor(self, flavor_metadata):
        self._do("validate_flavor")
        for key in flavor_metadata:
            if key != "metal":
                raise exceptions.UnsupportedOptionError(
                    user_fault_string=f"The flavor key {key} is not known.",
                    operator_fault_string=f"Somebody asks for {key}.",
                )


class Bare(provider_base.ProviderDriver):
    """Does nothing at all."""


def agent(exit_event):
    """A long-running process of the provider."""
    (HOME / "agent").write_text(str(os.getpid()))
    exit_event.wait()
    (HOME / "agent").write_text("ended")
