"""The grade sheet of the interception studies, as far as it is about origins: whatever is wrong with a certificate, the
client gets a page that says so and never the site, and never a certificate of ours that makes it look good."""
import re

import pytest
from cryptography.hazmat.primitives import serialization

from certificates import Zoo
from origin import Peer, read_head
from test_intercept import curl, decision
from tls_origin import TlsServer

POLICY = """
zone = "UTC"
[group.default]
tls = "inspect"
not_enrolled = "inspect"
log = "url"
"""
GOOD = ["good", "good_rsa", "stapled_good", "wildcard", "name_constraints_kept", "long_chain", "must_staple_good",
        "must_staple_by_a_delegate"]
BAD = {  # and what the page says of it
    "expired": "has expired on",
    "not_yet_valid": "is not valid before",
    "self_signed": "self-signed",
    "unknown_issuer": "not trusted|unknown issuer",
    "lookalike_root": "not trusted|unknown issuer|wrong signature",
    "wrong_name": "for another name",
    "cn_only": "for another name",
    "partial_wildcard": "for another name",
    "wrong_signature": "wrong signature",
    "rsa_1024": "weak cryptography",
    "sha1": "weak cryptography",
    "md5": "weak cryptography",
    "sha1_intermediate": "of its issuer uses weak cryptography",
    "ec_192": "weak cryptography|no secure connection",
    "wildcard_of_a_tld": "for another name",
    "below_a_star": "for another name",
    "malformed_extension": "not valid|unknown issuer",
    "unknown_critical_extension": "unknown critical extension",
    "client_auth_only": "not meant for this use",
    "intermediate_not_ca": "not valid",
    "intermediate_without_constraints": "not valid",
    "intermediate_signs_without_constraints": "not valid",
    "intermediate_may_not_sign": "not valid",
    "intermediate_v1": "not valid",
    "intermediate_client_auth_only": "not meant for this use",
    "intermediate_expired": "has expired on",
    "pathlen_broken": "not valid",
    "name_constraints_violated": "not valid",
    "name_constraints_excluded": "not valid",
    "must_staple": "proof that it was not revoked",
    "must_staple_old": "proof that it was not revoked",
    "must_staple_forged": "proof that it was not revoked",
    "must_staple_by_a_leaf": "proof that it was not revoked",
    "must_staple_of_another": "proof that it was not revoked",
    "must_staple_unavailable": "proof that it was not revoked",
    "revoked": "revoked by its issuer",
    "revoked_by_a_delegate": "revoked by its issuer",
    "huge_chain": "no secure connection",
}


@pytest.fixture(scope="module")
def zoo():
    return Zoo()


@pytest.fixture(scope="module")
def inspecting(lab, built, zoo):
    from sluice import Sluice
    with Sluice(lab, POLICY, tls_intercept={"trust": str(zoo.trust)}) as sluice:
        yield sluice


def ask(sluice, lab, zoo, *arguments, **named):
    return curl(sluice, lab.alice, f"https://{zoo.name}/", *arguments, address=lab.peer["v4"], **named)


@pytest.mark.parametrize("kind", GOOD)
def test_good_certificates(inspecting, lab, zoo, kind):
    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make(kind)):
        got = ask(inspecting, lab, zoo)
    assert got.code == 0 and got.status == 200 and "s_server" in got.body, got
    assert "sluice local CA" in got.issuer


@pytest.mark.parametrize("kind", BAD)
def test_bad_certificates(inspecting, lab, zoo, kind):
    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make(kind)):
        got = ask(inspecting, lab, zoo)
    assert got.code == 0 and got.status == 502, got
    assert re.search(BAD[kind], got.body), got
    assert "s_server" not in got.body and "Public" not in got.issuer
    record = inspecting.wait_access(id=decision(got))
    assert (record["action"], record["reason"], record["status"]) == ("block", "bad_certificate", 502)


def test_a_star_stands_for_one_label(inspecting, lab, zoo):
    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make("below_a_star")):
        for name, status in ((f"www.{zoo.name}", 200), (f"a.b.{zoo.name}", 502)):
            got = curl(inspecting, lab.alice, f"https://{name}/", address=lab.peer["v4"])
            assert got.status == status, (name, got)


def test_origins_that_are_asked_by_address(inspecting, lab, zoo, family):
    """No name in the hello: the certificate must be for the very address, and so is ours."""
    where = lab.peer[family] if family == "v4" else f"[{lab.peer[family]}]"
    for kind, status in (("ip_address", 200), ("good", 502)):
        with TlsServer(lab.peer.namespace, lab.peer[family], zoo.make(kind)):
            done = lab.alice.run("curl", "-sv", "--cacert", str(inspecting.ca_pem), "-w", "%{http_code}",
                                 f"https://{where}/", check=False)
        assert done.returncode == 0 and done.stdout.endswith(str(status)), (kind, done)
        assert "sluice local CA" in done.stderr


@pytest.fixture
def another(built, zoo):
    """Sluices in a lab of their own, one at a time."""
    from lab import Lab
    from sluice import Sluice
    with Lab(guest=False, inner=False) as lab:
        def make(*arguments, **named):
            return Sluice(lab, *arguments, network={"lan": ["lan0"]}, **named)
        yield make


def test_the_gateways_own_root_is_no_origins(another, zoo):
    """Even if somebody has put it into the bundle of trusted roots."""
    sluice = another(POLICY, start=False, tls_intercept={"trust": str(zoo.trust)})
    bundle = sluice.directory / "both.pem"
    bundle.write_bytes(zoo.trust.read_bytes() + sluice.ca_pem.read_bytes())
    sluice.write(tls_intercept={"trust": str(bundle)})
    sluice.start()
    lab = sluice.lab
    leaf = zoo.signed_by(sluice.ca_pem, sluice.ca_pem.with_suffix(".key"))
    with TlsServer(lab.peer.namespace, lab.peer["v4"], leaf):
        got = ask(sluice, lab, zoo)
    assert got.status == 502 and "own CA" in got.body, got


@pytest.mark.parametrize("settings", [["-no_tls1_3", "-no_tls1_2", "-cipher", "ALL:@SECLEVEL=0"],
                                      ["-no_tls1_3", "-cipher", "AES128-SHA256:AES128-GCM-SHA256:@SECLEVEL=0"]],
                         ids=["TLS 1.1", "static RSA"])
def test_weak_origins_are_not_talked_to(inspecting, lab, zoo, settings):
    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make("good_rsa"), *settings):
        got = ask(inspecting, lab, zoo)
    assert got.status == 502 and "no secure connection" in got.body, got


def test_the_page_cannot_be_clicked_away_but_hosts_may_be_passed_on(another, zoo):
    passing = POLICY + f'bad_certificate = "pass"\nbad_certificate_hosts = ["host:{zoo.name}"]\n'
    sluice = another(passing, tls_intercept={"trust": str(zoo.trust)})
    lab = sluice.lab
    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make("expired")):
        got = ask(sluice, lab, zoo, ca=zoo.trust)
        assert got.code == 60 and "expired" in got.stderr, got  # the client judges the origin's own certificate
        seen = ask(sluice, lab, zoo, "-k")
    assert seen.status == 200 and "Public Intermediate" in seen.issuer, seen
    assert sluice.wait_access(name=zoo.name, spared="bad_certificate")["tls"] == "spliced"




PUBLIC = "9.9.9.9"  # an address that is nobody's of this house; it exists in the origin's namespace only


@pytest.mark.parametrize("where", ["public", "of this network", "redirected"])
def test_missing_intermediates_are_fetched_from_public_addresses_only(another, where):
    address = "10.99.0.3" if where == "of this network" else PUBLIC
    zoo = Zoo(issuer_url=f"http://{address}/issuer.der")
    sluice = another(POLICY, tls_intercept={"trust": str(zoo.trust)})
    lab = sluice.lab
    lab.origin.namespace.ip(f"addr add {PUBLIC}/32 dev eth0")
    asked = []

    def serve(sock):
        asked.append(read_head(sock))
        der = zoo.between.certificate.public_bytes(serialization.Encoding.DER)
        if where == "redirected" and b"/issuer.der" in asked[-1]:
            sock.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://{PUBLIC}/other.der\r\nContent-Length: 0\r\n"
                         "Connection: close\r\n\r\n".encode())
        else:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(der) + der)

    with TlsServer(lab.peer.namespace, lab.peer["v4"], zoo.make("missing_intermediate")), \
            Peer(lab.origin.namespace, address, 80, serve):
        got = ask(sluice, lab, zoo)
        assert got.status == (200 if where == "public" else 502), got
        assert len(asked) == (0 if where == "of this network" else 1)
        if where == "public":
            assert ask(sluice, lab, zoo).status == 200 and len(asked) == 1  # remembered
        else:
            assert "unknown issuer" in got.body
