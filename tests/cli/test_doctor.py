"""What `fairlead doctor` says of hosts that lack something; the hosts are made by arguments."""

import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fairlead.cli import host_checks, main
from fairlead.cli.doctor import PROGRAMS, examine, missing, report
from fairlead.cli.host_checks import lacks, note, ok
from fairlead.settings import AmphoraSettings, ApiSettings, Settings


def program(directory: Path, name: str, script: str = "exit 0") -> str:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_every_program_is_missing_on_an_empty_path(tmp_path: Path) -> None:
    assert missing(str(tmp_path)) == list(PROGRAMS)


def test_what_is_there_is_not_missing(tmp_path: Path) -> None:
    for name in PROGRAMS:
        if name not in ("bwrap", "nft"):
            program(tmp_path, name)
    assert missing(str(tmp_path)) == ["bwrap", "nft"]


def test_looking_for_programs_is_quick() -> None:
    started = time.perf_counter()
    for _ in range(10):
        missing()
    assert (time.perf_counter() - started) / 10 < 0.005


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17", "ok"),
        ("HA-Proxy version 2.4.0-0ubuntu1", "ok"),
        ("HA-Proxy version 2.2.9-2+deb11u6", "lacks"),
        ("HAProxy version 10.0.1", "ok"),
        ("something else", "lacks"),
    ],
)
def test_haproxy_must_be_new_enough(tmp_path: Path, said: str, level: str) -> None:
    found = host_checks.haproxy_version(program(tmp_path, "haproxy", f"echo '{said}'"))
    assert found.level == level
    assert (found.remedy == "") == (level == "ok")


def test_a_broken_haproxy_is_said_to_be_broken(tmp_path: Path) -> None:
    assert host_checks.haproxy_version(str(tmp_path / "absent")).level == "lacks"


def test_too_few_open_files_name_a_maxconn_that_fits() -> None:
    found = host_checks.open_files(8000, hard=4096)
    assert found.level == "lacks"
    assert "maxconn = 1998" in found.remedy
    assert host_checks.open_files(1998, hard=4096).level == "ok"
    assert host_checks.open_files(8000, hard=-1).level == "ok"


def test_a_port_in_use_is_a_note_that_tells_how_to_find_who() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = host_checks.listening(f"127.0.0.1:{port}")
        assert found.level == "note"
        assert f":{port}" in found.remedy
    assert host_checks.listening(f"127.0.0.1:{port}").level == "ok"


def test_a_service_of_ours_on_the_port_is_recognised() -> None:
    class Described(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"openapi": "3.1.0", "info": {"title": "Fairlead"}}')

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Described) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        found = host_checks.listening(f"127.0.0.1:{server.server_port}")
        serving.join()
    assert found.level == "ok"
    assert "Fairlead that runs" in found.what


def test_doctor_looks_at_what_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "some.toml"
    config.write_text("[amphora]\nmaxconn = 123456789")
    listen = "127.0.0.1:1"
    words = ["--config", str(config), "--state-dir", str(tmp_path), "--listen", listen]
    assert main(["doctor", *words]) == 1
    said = capsys.readouterr().out
    for what in ("for 123456789 connections", f"State directory {tmp_path}", listen):
        assert what in said


def test_a_state_directory_that_is_not_there_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    assert host_checks.state_directory(tmp_path / "not" / "yet").level == "ok"
    assert not (tmp_path / "not").exists()


def test_a_state_directory_that_takes_no_files_is_lacking() -> None:
    found = host_checks.state_directory(Path("/proc/sys/fairlead"))
    assert found.level == "lacks"
    assert "--state-dir" in found.remedy


def test_a_clock_before_the_installation_is_lacking() -> None:
    assert host_checks.clock(now=0.0).level == "lacks"
    assert host_checks.clock().level == "ok"


def test_missing_programs_fail_and_are_named_with_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PROGRAMS:
        if name not in ("nsenter", "setsid", "nft"):
            program(tmp_path, name, "echo HAProxy version 2.6.12")
    status = report(examine(Settings(api=ApiSettings(listen="127.0.0.1:1")), str(tmp_path)))
    said = capsys.readouterr().out
    assert status == 1
    assert "✘ nft is missing" in said
    assert "sudo apt-get install nftables util-linux " in said
    assert "were not tried" in said


def test_notes_alone_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([ok("this"), note("that", "do it")]) == 0
    assert report([ok("this"), lacks("that", "do it")]) == 1
    assert "    do it\n" in capsys.readouterr().out


@pytest.mark.root
def test_this_host_can_run_amphorae_and_nothing_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    settings = Settings(amphora=AmphoraSettings(maxconn=1000))
    status = report(examine(settings))
    said = capsys.readouterr().out
    assert status == 0, said
    for what in ("Network namespaces", "Bridges", "veth pairs", "nftables with NAT", "Sandboxes"):
        assert f"✔ {what} can be made" in said
    names = Path("/run/netns")
    left = [one.name for one in names.iterdir()] if names.is_dir() else []
    assert f"fldoctor-{os.getpid()}" not in left
    assert not list(Path("/sys/fs/cgroup").glob("*/fairlead/doctor"))
