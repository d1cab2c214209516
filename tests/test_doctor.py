from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from lowres import doctor

# NVIDIA's table of compute capabilities: (card, capability, bf16, int8, nf4).
CARDS = [
    ("GTX 980", (5, 2), False, False, False),
    ("P100", (6, 0), False, False, True),
    ("GTX 1080", (6, 1), False, False, True),
    ("V100", (7, 0), False, False, True),
    ("T4", (7, 5), False, True, True),
    ("A100", (8, 0), True, True, True),
    ("RTX 3060", (8, 6), True, True, True),
    ("L4", (8, 9), True, True, True),
    ("H100", (9, 0), True, True, True),
    ("RTX 5090", (12, 0), True, True, True),
]


@pytest.mark.parametrize(("card", "capability", "bf16", "int8", "nf4"), CARDS)
def test_number_formats_follow_from_the_capability(card, capability, bf16, int8, nf4):
    assert doctor.bf16_supported(capability) is bf16
    assert doctor.int8_supported(capability) is int8
    assert doctor.nf4_supported(capability) is nf4
    assert doctor.int8_ability("linux", [capability]).supported is int8
    assert doctor.nf4_ability("linux", [capability]).supported is nf4


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2 avx2", False),
        ("avx2 avx512f avx512bw", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
        ("asimd bf16 i8mm", True),
        ("", False),
    ],
)
def test_cpu_bf16_by_flags(flags, expected):
    assert doctor.flags_have_bf16(flags.split()) is expected


@pytest.mark.parametrize(
    ("ability", "words"),
    [
        (doctor.int8_ability("darwin", []), "base.quantization=none"),
        (doctor.nf4_ability("darwin", []), "base.quantization=none"),
        (doctor.int8_ability("linux", [], installed=False), "pip install bitsandbytes"),
        (doctor.int8_ability("linux", [(7, 0)]), "has 7.0: set base.quantization=4bit or"),
        (doctor.int8_ability("linux", [(5, 2)]), "has 5.2: set base.quantization=none"),
        (doctor.nf4_ability("linux", [(5, 2)]), "needs compute capability 6.0"),
        (doctor.int8_ability("linux", [(8, 0), (6, 1)]), "has 6.1"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(ability, words):
    assert not ability.supported
    assert words in ability.reason
    assert "\n" not in ability.reason


def test_8_bit_works_on_a_cpu():
    assert doctor.int8_ability("linux", []) == doctor.Ability(
        True, "on the CPU (slower than none there)"
    )


def test_examine_tells_of_this_machine():
    report = doctor.examine()
    assert report.cpu.cores >= 1
    assert report.cpu.memory_mb > 100
    assert report.versions["torch"]
    assert report.precision in ("bf16", "fp16", "fp32")
    assert [folder.free_mb >= 0 for folder in report.caches] == [True, True]
    assert not report.hub.reachable, "tests run with HF_HUB_OFFLINE"
    assert json.loads(json.dumps(doctor.plain(report)))["python"] == report.python


def _printed(report):
    from rich.console import Console

    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(doctor.table(report))
    return capture.get()


def test_the_table_tells_what_the_report_holds():
    report = doctor.examine()
    text = _printed(report)
    assert report.versions["torch"] in text
    assert "8-bit bases" in text
    assert f"{report.precision} (train.precision: auto)" in text
    for folder in report.caches:
        assert folder.path in text


def test_the_table_names_what_is_missing():
    report = dataclasses.replace(
        doctor.examine(),
        versions={"bitsandbytes": None},
        caches=(doctor.CacheFolder("test [cache]", "/nowhere", 12, writable=False),),
        hub=doctor.Hub("https://huggingface.co", True, "ada", "logged in"),
    )
    text = _printed(report)
    assert "not installed" in text
    assert "/nowhere, 12 MB free, NOT WRITABLE" in text
    assert "https://huggingface.co reachable as ada: logged in" in text


def test_a_t4_gets_fp16_whatever_torch_says(monkeypatch):
    import torch

    t4 = SimpleNamespace(name="Tesla T4", total_memory=15 * 2**30, major=7, minor=5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: t4)
    report = doctor.examine()
    assert report.gpus == (doctor.Gpu("Tesla T4", 15 * 1024, (7, 5), bf16=False, int8=True),)
    assert report.precision == "fp16"
    assert "compute capability 7.5, bf16 no, int8 yes" in _printed(report)


def test_arm_calls_the_flags_features(monkeypatch, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nFeatures\t: asimd bf16\n\nprocessor\t: 1\n", encoding="utf-8")
    monkeypatch.setattr(doctor, "Path", lambda _: file)
    fields = doctor._cpu_fields.__wrapped__()
    assert fields == {"processor": "0", "flags": "asimd bf16"}


def test_a_missing_library_has_no_version():
    assert doctor.version("no-such-distribution-lowres") is None


def test_cache_folder_that_does_not_exist_yet(tmp_path):
    folder = doctor.cache_folder("test", tmp_path / "not" / "there")
    assert folder.writable
    assert folder.free_mb > 0
    assert not (tmp_path / "not").exists(), "looking must not write"


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(getattr(self.server, "delay_s", 0))
        good = self.headers.get("Authorization") == "Bearer hf_good"
        body = getattr(self.server, "body", json.dumps({"name": "ada"} if good else {}).encode())
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet: pytest shows what matters."""


@pytest.fixture
def hub():
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _address(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("token", "user", "words"),
    [
        ("hf_good", "ada", "logged in"),
        ("hf_secret_but_expired", None, "refused (401)"),
        (None, None, "no token"),
    ],
)
def test_hub_login_without_printing_the_token(hub, token, user, words):
    answer = doctor.ask_hub(_address(hub), token, 3)
    assert (answer.reachable, answer.user) == (True, user)
    assert words in answer.note
    assert "hf_" not in repr(answer)


def test_a_hub_that_does_not_answer_costs_the_timeout_and_no_more(hub):
    hub.delay_s = 1.5
    start = time.monotonic()
    answer = doctor.ask_hub(_address(hub), None, 0.3)
    assert time.monotonic() - start < 1.2
    assert not answer.reachable
    assert "0.3 s" in answer.note or "timed out" in answer.note


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("ftp://127.0.0.1", "no http address"),
    ],
)
def test_no_hub(endpoint, words):
    answer = doctor.ask_hub(endpoint, "hf_secret", 3)
    assert not answer.reachable
    assert words in answer.note
    assert "hf_secret" not in repr(answer)


def test_a_captive_portal_is_no_hub(hub):
    hub.body = b"<html>please log in to the wifi</html>"
    answer = doctor.ask_hub(_address(hub), "hf_good", 3)
    assert not answer.reachable
    assert "not JSON" in answer.note


def test_importing_doctor_is_light():
    code = "import sys, lowres.doctor; print({'torch', 'psutil'} & set(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"
