"""sluicectl ca: the local CA's files as an admin handles them. The real sluicectl on a scratch folder, no daemon."""
import base64
import json
import os
import plistlib
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from sluice import SLUICECTL


class Authority:
    def __init__(self, root: Path):
        self.config, self.state, self.folder = root / "config", root / "state", root / "state" / "ca"
        self.config.mkdir()
        self.crt, self.key = self.folder / "ca.crt", self.folder / "ca.key"

    def run(self, *arguments: str, expect: int = 0, **named) -> subprocess.CompletedProcess:
        done = subprocess.run([SLUICECTL, "--config", str(self.config), "--state", str(self.state), "ca", *arguments],
                              capture_output=True, timeout=60, **named)
        assert done.returncode == expect, f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}"
        return done

    def json(self, *arguments: str, expect: int = 0) -> dict:
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def openssl(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def fingerprint(pem: Path) -> str:
    return openssl("x509", "-in", str(pem), "-noout", "-fingerprint", "-sha256").strip().partition("=")[2]


def signed(authority: Authority, name: str, tmp_path: Path) -> Path:
    """A leaf for `name` by `authority`, made with openssl alone."""
    extensions = tmp_path / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n")
    request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=test",
                      "-keyout", str(tmp_path / "leaf.key"))
    leaf = tmp_path / "leaf.crt"
    leaf.write_text(openssl("x509", "-req", "-CA", str(authority.crt), "-CAkey", str(authority.key), "-CAcreateserial",
                            "-CAserial", str(tmp_path / "serial"), "-days", "30", "-extfile", str(extensions),
                            stdin=request.encode()))
    return leaf


def verify(authority: Authority, leaf: Path) -> subprocess.CompletedProcess:
    return subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(authority.crt),
                           str(leaf)], capture_output=True, text=True)


def test_init_makes_a_ca_that_openssl_takes(authority, tmp_path):
    told = authority.json("init")
    assert [p.name for p in sorted(authority.folder.iterdir())] == ["ca.crt", "ca.key"]
    assert authority.key.stat().st_mode & 0o7777 == 0o600 and authority.crt.stat().st_mode & 0o7777 == 0o644
    assert authority.folder.stat().st_mode & 0o7777 == 0o755
    assert told["sha256"] == fingerprint(authority.crt)
    assert told["file"] == str(authority.crt) and told["key"] == "P-256" and told["permitted"] == []
    text = openssl("x509", "-in", str(authority.crt), "-noout", "-text")
    assert "CA:TRUE, pathlen:0" in text and "Certificate Sign, CRL Sign" in text and "Name Constraints" not in text
    leaf = signed(authority, "www.example.org", tmp_path)
    assert verify(authority, leaf).returncode == 0


def test_two_installs_differ(tmp_path):
    told = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        told.append(Authority(tmp_path / name).json("init"))
    assert all(told[0][key] != told[1][key] for key in ("subject", "serial", "sha256"))


def test_init_as_asked(authority):
    told = authority.json("init", "--key", "rsa", "--days", "30", "--name", "Schule Süd")
    assert told["subject"] == "Schule Süd" and told["key"] == "RSA-3072"
    assert "Public-Key: (3072 bit)" in openssl("x509", "-in", str(authority.crt), "-noout", "-text")
    openssl("x509", "-in", str(authority.crt), "-noout", "-checkend", str(29 * 86400))
    soon = subprocess.run(["openssl", "x509", "-in", str(authority.crt), "-noout", "-checkend", str(31 * 86400)])
    assert soon.returncode == 1, "it ends after the 30 days"


def test_permitted_names_bind_whoever_checks(authority, tmp_path):
    told = authority.json("init", "--permit", "school.example", "--permit", "UNI.example")
    assert told["permitted"] == ["school.example", "uni.example", "sluice.lan"]
    assert "Name Constraints: critical" in openssl("x509", "-in", str(authority.crt), "-noout", "-text")
    assert verify(authority, signed(authority, "www.school.example", tmp_path)).returncode == 0
    assert verify(authority, signed(authority, "sluice.lan", tmp_path)).returncode == 0, "the gateway's own page"
    refused = verify(authority, signed(authority, "bank.example", tmp_path))
    assert refused.returncode != 0 and "permitted subtree violation" in refused.stderr


@pytest.mark.parametrize("arguments", [("init", "--key", "dsa"), ("init", "--days", "0"), ("init", "--days", "x"),
                                       ("init", "--permit", "not a name"), ("init", "--name", "x" * 65), ("make",), (),
                                       ("init", "twice"), ("export", "--format", "p12")])
def test_bad_words_are_exit_2_and_make_nothing(authority, arguments):
    authority.run(*arguments, expect=2)
    assert not authority.state.exists()


def test_nothing_is_overwritten(authority):
    authority.run("init")
    before = authority.crt.read_bytes(), authority.key.read_bytes()
    done = authority.run("init", expect=1)
    assert b"exists already" in done.stderr and done.stdout == b""
    assert "exists already" in authority.json("init", expect=1)["error"]
    assert (authority.crt.read_bytes(), authority.key.read_bytes()) == before
    authority.run("init", "--next")
    assert b"next.crt exists already" in authority.run("init", "--next", expect=1).stderr


def test_before_there_is_one(authority):
    for arguments in (["show"], ["export"], ["init", "--next"]):
        done = authority.run(*arguments, expect=1)
        assert b"sluicectl ca init" in done.stderr and done.stdout == b""
    authority.run("rotate", expect=1)
    assert not authority.state.exists()


def test_paths_of_the_configuration(authority, tmp_path):
    elsewhere = tmp_path / "pki"
    (authority.config / "sluice.toml").write_text(
        '[network]\nlan = ["br-lan"]\n[tls_intercept]\n'
        f'ca_cert = "{elsewhere}/own.crt"\nca_key = "{elsewhere}/private/own.pem"\n')
    authority.run("init")
    authority.run("init", "--next")
    assert sorted(str(p.relative_to(elsewhere)) for p in elsewhere.rglob("*")) == [
        "next.crt", "next.key", "own.crt", "private", "private/own.pem"]
    authority.run("rotate")
    assert sorted(str(p.relative_to(elsewhere)) for p in elsewhere.rglob("*")) == [
        "own.crt", "previous.crt", "private", "private/own.pem"]
    assert "warning" not in authority.json("show")["current"], "certificate and key belong together"
    (authority.config / "sluice.toml").write_text("[tls_intercept]\nca_cert = 5\n")
    done = authority.run("show", expect=2)
    assert b"sluice.toml:2:" in done.stderr


def test_show_warns_of_what_would_stop_the_daemon(authority):
    authority.run("init")
    shown = authority.json("show")
    assert list(shown) == ["current"] and "warning" not in shown["current"]
    authority.key.chmod(0o640)
    assert f"run: chmod 600 {authority.key}" in authority.json("show")["current"]["warning"]
    assert b"warning" in authority.run("show").stdout
    authority.key.chmod(0o600)
    os.chown(authority.key, 12345, 12345)
    assert "chown root" in authority.json("show")["current"]["warning"]


def test_export(authority, tmp_path):
    authority.run("init", "--name", "Lab & <Sons>")
    pem = authority.run("export").stdout
    assert pem == authority.crt.read_bytes()
    der = authority.run("export", "--format", "der").stdout
    assert der == ssl.PEM_cert_to_DER_cert(pem.decode())
    assert base64.b64decode(authority.json("export", "--format", "der")["data"]) == der
    profile = authority.run("export", "--format", "mobileconfig", "--organisation", "Lab & Sons").stdout
    assert profile == authority.run("export", "--format", "mobileconfig", "--organisation", "Lab & Sons").stdout
    outer = plistlib.loads(profile)
    inner, = outer["PayloadContent"]
    assert outer["PayloadType"] == "Configuration" and outer["PayloadOrganization"] == "Lab & Sons"
    assert inner["PayloadType"] == "com.apple.security.root" and inner["PayloadContent"] == der
    assert inner["PayloadDisplayName"] == outer["PayloadDisplayName"] == "Lab & <Sons>"
    assert inner["PayloadUUID"] != outer["PayloadUUID"] and inner["PayloadVersion"] == outer["PayloadVersion"] == 1

    output = tmp_path / "out.cer"
    told = authority.run("export", "--format", "der", "--output", str(output)).stdout
    assert output.read_bytes() == der and fingerprint(authority.crt).encode() in told
    assert b"PRIVATE" not in pem + der + profile
    done = authority.run("export", "--output", str(tmp_path / "missing" / "out"), expect=1)
    assert b"No such file" in done.stderr


def test_rotation(authority):
    first = authority.json("init")["sha256"]
    assert b"ca init --next" in authority.run("rotate", expect=1).stderr
    second = authority.json("init", "--next")["sha256"]
    shown = authority.json("show")
    assert (shown["current"]["sha256"], shown["next"]["sha256"]) == (first, second)
    openssl("x509", "-noout", stdin=authority.run("export", "--next").stdout)

    assert b"sluicectl reload" in authority.run("rotate").stdout
    shown = authority.json("show")
    assert list(shown) == ["current", "previous"], "there is no next one any more"
    assert (shown["current"]["sha256"], shown["previous"]["sha256"]) == (second, first)
    assert [p.name for p in sorted(authority.folder.iterdir())] == ["ca.crt", "ca.key", "previous.crt"]
    assert authority.key.stat().st_mode & 0o7777 == 0o600
    assert "warning" not in shown["current"]
    authority.run("rotate", expect=1)


def test_somebody_who_is_not_root():
    """May see the certificate; is told what is missing for the rest."""
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are root's alone
        os.chmod(root, 0o755)
        see_as_nobody(Authority(Path(root)))


def see_as_nobody(authority: Authority):
    authority.run("init")
    nobody = {"user": "nobody", "group": "nogroup"}
    if subprocess.run(["test", "-x", SLUICECTL], **nobody).returncode != 0:
        pytest.skip("nobody may not run the programs where they are")
    assert authority.run("export", **nobody).stdout == authority.crt.read_bytes()
    assert b"are you root?" in authority.run("show", **nobody).stdout
    done = authority.run("init", "--next", expect=1, **nobody)
    assert b"are you root?" in done.stderr
