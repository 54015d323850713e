"""The `openstack` command makes, finds, changes and deletes networks of a running service."""

from tests.clients.driving import Openstack

# Each command with what is in what it prints; "" is nothing.
STORY = (
    ("network create -f value -c description -c tags --description first --tag a blue",
     "first\n['a']"),
    ("subnet create -f value -c cidr -c gateway_ip --network blue --subnet-range 192.0.2.0/24"
     " --gateway 192.0.2.254 --dns-nameserver 9.9.9.9 --description d --tag x blue-v4",
     "192.0.2.0/24\n192.0.2.254"),
    ("port create -f value -c name --network blue --fixed-ip subnet=blue-v4,ip-address=192.0.2.10"
     " --description web --tag y server", "server"),
    ("port create -f value -c name --network blue --no-security-group --disable-port-security two",
     "two"),
    ("port list -f value -c Name --fixed-ip subnet=blue-v4,ip-address=192.0.2.10", "server"),
    ("port list -f value -c Name --network blue", "server\ntwo"),
    ("network list -f value -c Name --tags a", "blue"),
    ("network list -f value -c Name --any-tags a,b --long", "blue"),
    ("network set --name azure --description changed --share --tag c blue", ""),
    ("network list -f value -c Name --share", "azure"),
    ("network set --no-share azure", ""),
    ("network unset --tag c azure", ""),
    ("network show -f value -c name -c description -c tags -c shared azure",
     "changed\nazure\nFalse\n['a']"),
    ("subnet set --name azure-v4 --gateway none --description e --no-dhcp blue-v4", ""),
    ("subnet set --gateway 192.0.2.253 azure-v4", ""),
    ("subnet unset --dns-nameserver 9.9.9.9 azure-v4", ""),
    ("subnet show -f value -c description -c dns_nameservers -c enable_dhcp -c gateway_ip azure-v4",
     "e\n[]\nFalse\n192.0.2.253"),
    ("port set --name srv --description z server", ""),
    ("port unset --tag y srv", ""),
    ("port show -f value -c name -c description -c tags srv", "z\nsrv\n[]"),
    ("network set --disable azure", "admin_state_up"),
    ("router list", ""), ("security group list", ""), ("floating ip list", ""),
    ("network qos policy list", ""), ("network agent list", ""),
    ("extension list --network -f value -c Alias", "standard-attr-tag"),
    ("loadbalancer create -f value -c vip_address --name lb --vip-subnet-id azure-v4"
     " --vip-port-id srv", "192.0.2.10"),
    ("port delete srv", "is in use by"),
    ("subnet delete azure-v4", "409"),
    ("network delete azure", "409"),
    ("loadbalancer create -f value -c vip_address --vip-network-id azure"
     " --vip-qos-policy-id gold", "Unable to locate gold in policies"),
    ("loadbalancer delete --wait lb", ""),
    ("subnet create -f value -c ip_version --network azure --ip-version 6"
     " --subnet-range fd00:7::/64 azure-v6", "6"),
    ("loadbalancer create -f value -c vip_address -c additional_vips --name both --vip-subnet-id"
     " azure-v4 --vip-address 192.0.2.80 --additional-vip subnet-id=azure-v6,ip-address=fd00:7::9",
     "'ip_address': 'fd00:7::9'"),
    ("loadbalancer delete --wait both", ""),
    ("subnet delete azure-v6", ""),
    ("port delete srv two", ""),
    ("subnet delete azure-v4", ""),
    ("network delete azure", ""),
    ("network list -f value -c Name --tags a", ""),
)  # fmt: skip


def told(osc: Openstack) -> None:
    """Every command of the story says what it should."""
    for command, expected in STORY:
        answer = osc.run(command)
        printed = (answer["out"] + answer["err"]).strip()
        assert expected in printed if expected else printed == "", f"{command}: {printed}"


def test_networks_by_command(osc: Openstack) -> None:
    told(osc)
