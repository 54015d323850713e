#!/bin/sh
# haproxy's external check of PING monitors: up when the member answers one echo request.
# haproxy gives proxy address, proxy port, member address, member port, and ends what is late.
exec ping -n -q -c 1 "$3" >/dev/null 2>&1
