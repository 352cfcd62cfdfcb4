"""What the lanes of the interception benchmark share: certificates, and an origin that has one for each of its names.

A gateway that mints by the origin's certificate has nothing to mint for a second name under the same wildcard; one that
mints by name has. So there are both kinds of names: n1, n2, ... have a certificate each, those from n1000000 on share one.
"""
from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lanes import ORIGIN
from meter import cpu_of
from namespace import scratch_directory, wait_until
from sluice import descendants

KNOWN, WILDCARD = 0, 1_000_000  # numbers of names: n0 is the known one
UNTRUSTED, MISNAMED = "untrusted.bench.test", "misnamed.bench.test"

NGINX = """
user root;
daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log crit;
worker_processes auto; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  server_names_hash_bucket_size 128;
  keepalive_timeout 600s; keepalive_requests 1000000000;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate_key {directory}/origin.key;
  root {directory}/pages;
  server {{ listen {address}:443 ssl http2 default_server backlog=4096; ssl_certificate {directory}/$ssl_server_name.crt; }}
  server {{ listen {address}:443 ssl http2; server_name n0.bench.test; ssl_certificate {directory}/n0.bench.test.crt; }}
  server {{ listen {address}:443 ssl http2; server_name ~^n1\\d\\d\\d\\d\\d\\d\\.; ssl_certificate {directory}/wildcard.crt; }}
  server {{ listen {address}:443 ssl http2; server_name {untrusted}; ssl_certificate {directory}/untrusted.crt; }}
  server {{ listen {address}:443 ssl http2; server_name {misnamed}; ssl_certificate {directory}/n0.bench.test.crt; }}
}}
"""


def name_of(number: int) -> str:
    return f"n{number}.bench.test"


class Authority:
    """A CA: P-256, as everything here, so that nobody pays for RSA."""

    def __init__(self, name: str):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (_begun(self.name, self.name, self.key.public_key())
                            .add_extension(x509.BasicConstraints(True, None), True)
                            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
                            .sign(self.key, hashes.SHA256()))

    def leaf(self, name: str, key) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return pem((_begun(subject, self.name, key)
                    .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
                    .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False)
                    .sign(self.key, hashes.SHA256())))


def _begun(subject, issuer, key):
    today = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=90)))


def pem(certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class World:
    """Files on disk: the origin's certificates and pages, and the CA that gateways are given."""

    def __init__(self, names: int, bulk: int):
        self.directory: Path = scratch_directory()
        origin, gateway, nobody = Authority("bench origin CA"), Authority("bench gateway CA"), Authority("nobody's CA")
        key = ec.generate_private_key(ec.SECP256R1())
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        for file, data in {"origin.key": key_pem(key), "origin-ca.crt": pem(origin.certificate),
                           "gateway-ca.crt": pem(gateway.certificate), "gateway-ca.key": key_pem(gateway.key),
                           "gateway-leaf.key": key_pem(leaf_key),
                           "wildcard.crt": origin.leaf("*.bench.test", key.public_key()),
                           "untrusted.crt": nobody.leaf(UNTRUSTED, key.public_key())}.items():
            (self.directory / file).write_bytes(data)
        for number in range(names + 1):
            (self.directory / f"{name_of(number)}.crt").write_bytes(origin.leaf(name_of(number), key.public_key()))
        pages = self.directory / "pages"
        pages.mkdir()
        (pages / "1k").write_text("p" * 1024)
        with open(pages / "bulk", "wb") as file:
            file.truncate(bulk)  # a file without blocks: it is read from the page cache

    def path(self, name: str) -> str:
        return str(self.directory / name)


class Origin:
    """nginx for the names, and dnsmasq for gateways that ask where a name is (squid and e2guardian do)."""

    def __init__(self, namespace, world: World, directory: Path):
        config = directory / "origin.conf"
        config.write_text(NGINX.format(directory=world.directory, address=ORIGIN, untrusted=UNTRUSTED, misnamed=MISNAMED)
                          .replace(f"pid {world.directory}", f"pid {directory}")
                          .replace(f"error_log {world.directory}", f"error_log {directory}"))
        self._processes = [
            namespace.popen("nginx", "-c", str(config), "-e", "/dev/null", stderr=subprocess.DEVNULL),
            namespace.popen("dnsmasq", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                            "--pid-file=", "--user=root", "--local=/bench.test/", f"--address=/bench.test/{ORIGIN}",
                            f"--listen-address={ORIGIN}", "--bind-interfaces", "--local-ttl=3600", "--no-daemon",
                            stderr=subprocess.DEVNULL)]

        def up() -> bool:
            for process in self._processes:
                assert process.poll() is None, f"the origin: {process.args[4]} ended"
            return ":443 " in namespace.run("ss", "-Htln").stdout and ":53 " in namespace.run("ss", "-Htln").stdout

        wait_until(up, 10, "the origin listens")

    def cpu(self) -> float:
        return sum(cpu_of(pid) for process in self._processes for pid in [process.pid, *descendants(process.pid)])
