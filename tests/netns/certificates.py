"""Certificates of every kind that an origin may show: good ones, and each bad one with a single fault.

A Zoo is "the world": a root that clients of the world trust (`trust`, a bundle of PEM), intermediates below it, and leaves
of its KINDS. Every certificate but the faulty one is as a public CA would make it, so that a refusal has one cause. What
python3-cryptography refuses to make is made by the openssl command.

Leaves of one key kind share one key: making RSA keys takes longer than all the rest.
"""
from __future__ import annotations

import dataclasses
import datetime
import functools
import ipaddress
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID, NameOID

DAY = datetime.timedelta(days=1)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
ORIGIN_ADDRESSES = ["10.99.0.4", "fd00:99::4"]  # in the leaf of kind ip_address, unless said otherwise


@dataclasses.dataclass
class Authority:
    """A certificate that signs others."""
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclasses.dataclass
class Leaf:
    kind: str
    host: str              # the name that this leaf is asked for
    directory: Path        # holds chain.pem, key.pem and perhaps staple.der, which everybody may read
    certificate: x509.Certificate
    staple: Path | None = None

    @property
    def chain(self) -> Path:
        return self.directory / "chain.pem"

    @property
    def key(self) -> Path:
        return self.directory / "key.pem"


class Zoo:
    def __init__(self, directory: Path, trusts: list[Path] = ()):
        """`trusts`: further roots of the world, as files of PEM."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.now = datetime.datetime.utcnow().replace(microsecond=0)
        self.root = self.authority("Zoo Root")
        self.intermediate = self.authority("Zoo Intermediate", issuer=self.root, path_length=0)
        self.trust = directory / "trust.pem"
        self.trust.write_bytes(pem(self.root) + b"".join(path.read_bytes() for path in trusts))
        self._made: dict[str, Leaf] = {}

    def leaf(self, kind: str, **how) -> Leaf:
        """One of KINDS, made once. `how` goes to its maker: host="...", and what the kind takes besides."""
        where = "-".join([kind, *(f"{value}" for value in how.values() if isinstance(value, str))])
        where = where.replace("_", "-").replace("/", "-").replace(":", "-").replace("*", "any")
        if where not in self._made:
            how.setdefault("host", "www.allowed.test" if kind == "wildcard" else f"{kind.replace('_', '-')}.zoo.test")
            self._made[where] = KINDS[kind](self, _Writer(self.directory / where, kind, how.pop("host")), **how)
        return self._made[where]

    def signed_by(self, certificate: bytes, key: bytes, host: str = "own-root.zoo.test") -> Leaf:
        """A leaf of a CA whose PEM is given: of the gateway's own."""
        signer = Authority(x509.load_pem_x509_certificate(certificate), serialization.load_pem_private_key(key, None))
        write = _Writer(self.directory / f"signed-by-{signer.certificate.serial_number:x}", "signed_by", host)
        return write(self.end_entity(host, issuer=signer), [signer])

    # --- makers ------------------------------------------------------------------------------------------------------

    def authority(self, name: str, issuer: Authority | None = None, *, is_ca: bool | None = True, path_length=None,
                  valid=(-400, 3650), key_cert_sign=True, more=(), key=None) -> Authority:
        """`is_ca` None: no basicConstraints at all."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        issuer_name = issuer.certificate.subject if issuer else _name(name)
        builder = self._builder(_name(name), issuer_name, key.public_key(), valid)
        if is_ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(is_ca, path_length if is_ca else None), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=key_cert_sign, crl_sign=True, digital_signature=True), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        if issuer:
            builder = builder.add_extension(_authority_key(issuer), False)
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        return Authority(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)

    def end_entity(self, host: str | None, issuer: Authority | None = None, **how) -> Authority:
        builder, key = self.end_entity_builder(host, issuer, **how)
        signer = (issuer or self.intermediate).key
        return Authority(builder.sign(signer, hashes.SHA256()), key)

    def end_entity_builder(self, host: str | None, issuer: Authority | None = None, *, key=None, common_name=None,
                           names=None, valid=(-2, 60), usage=ExtendedKeyUsageOID.SERVER_AUTH, more=()):
        """Unsigned. `host` None: no subjectAltName."""
        issuer = issuer or self.intermediate
        key = key or self.ec_key
        builder = self._builder(_name(common_name or host or "origin"), issuer.certificate.subject, key.public_key(),
                                valid)
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names or [x509.DNSName(host)]), False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        builder = builder.add_extension(_usage(digital_signature=True, key_encipherment=is_rsa), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        builder = builder.add_extension(_authority_key(issuer), False)
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        return builder, key

    def _builder(self, subject, issuer, public_key, valid) -> x509.CertificateBuilder:
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(self.now + valid[0] * DAY).not_valid_after(self.now + valid[1] * DAY))

    @functools.cached_property
    def ec_key(self):
        return ec.generate_private_key(ec.SECP256R1())

    @functools.cached_property
    def rsa_key(self):
        return rsa.generate_private_key(65537, 2048)

    def with_digest(self, host: str, digest: str) -> x509.Certificate:
        """Signed with a digest that python3-cryptography does not sign with any more."""
        scratch = self.directory / f"with-{digest}"
        scratch.mkdir(exist_ok=True)
        (scratch / "leaf.key").write_bytes(key_pem(self.ec_key))
        (scratch / "ca.pem").write_bytes(pem(self.intermediate))
        (scratch / "ca.key").write_bytes(key_pem(self.intermediate.key))
        (scratch / "extensions").write_text(
            f"subjectAltName=DNS:{host}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        openssl(scratch, "req", "-new", "-key", "leaf.key", "-subj", f"/CN={host}", "-out", "leaf.csr")
        openssl(scratch, "x509", "-req", f"-{digest}", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days",
                "30", "-set_serial", str(x509.random_serial_number()), "-extfile", "extensions", "-out", "leaf.crt")
        return x509.load_pem_x509_certificate((scratch / "leaf.crt").read_bytes())

    def version_1(self, name: str, key) -> x509.Certificate:
        """A certificate of the root without any extension (RFC 5280 4.1.2.1)."""
        scratch = self.directory / "version-1"
        scratch.mkdir(exist_ok=True)
        (scratch / "v1.key").write_bytes(key_pem(key))
        (scratch / "ca.pem").write_bytes(pem(self.root))
        (scratch / "ca.key").write_bytes(key_pem(self.root.key))
        openssl(scratch, "req", "-new", "-key", "v1.key", "-subj", f"/O=Zoo/CN={name}", "-out", "v1.csr")
        openssl(scratch, "x509", "-req", "-sha256", "-in", "v1.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30",
                "-set_serial", str(x509.random_serial_number()), "-out", "v1.crt")
        return x509.load_pem_x509_certificate((scratch / "v1.crt").read_bytes())

    def staple(self, certificate: x509.Certificate, *, revoked=False, signer: Authority | None = None,
               updated=-1, next_update=6) -> bytes:
        """An OCSP response in DER. The days count from now."""
        signer = signer or self.intermediate
        status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate, issuer=self.intermediate.certificate, algorithm=hashes.SHA1(), cert_status=status,
            this_update=self.now + updated * DAY, next_update=self.now + next_update * DAY,
            revocation_time=self.now - 2 * DAY if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None)
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, signer.certificate)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(DER)


class _Writer:
    """Puts a leaf into its directory."""

    def __init__(self, directory: Path, kind: str, host: str):
        self.directory, self.kind, self.host = directory, kind, host

    def __call__(self, end: Authority, above: list[Authority], staple: bytes | None = None) -> Leaf:
        self.directory.mkdir(exist_ok=True)
        leaf = Leaf(self.kind, self.host, self.directory, end.certificate)
        leaf.chain.write_bytes(b"".join(map(pem, [end, *above])))
        leaf.key.write_bytes(key_pem(end.key))
        if staple is not None:
            leaf.staple = self.directory / "staple.der"
            leaf.staple.write_bytes(staple)
        return leaf


# --- the kinds -----------------------------------------------------------------------------------------------------------

KINDS = {}


def kind(make):
    KINDS[make.__name__] = make
    return make


@kind
def good(zoo, write):
    return write(zoo.end_entity(write.host), [zoo.intermediate])


@kind
def good_rsa(zoo, write):
    return write(zoo.end_entity(write.host, key=zoo.rsa_key), [zoo.intermediate])


@kind
def wildcard(zoo, write):
    return write(zoo.end_entity("*.allowed.test"), [zoo.intermediate])


@kind
def wildcard_too_deep(zoo, write):
    """A star stands for one label (RFC 6125 6.4.3)."""
    write.host = "a." + write.host
    return write(zoo.end_entity("*.zoo.test"), [zoo.intermediate])


@kind
def wildcard_partial(zoo, write):
    return write(zoo.end_entity("wildcard*.zoo.test"), [zoo.intermediate])


@kind
def wildcard_of_a_tld(zoo, write):
    write.host = "zoo.test"
    return write(zoo.end_entity("*.test"), [zoo.intermediate])


@kind
def ip_address(zoo, write, addresses=tuple(ORIGIN_ADDRESSES)):
    names = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    return write(zoo.end_entity(write.host, names=names), [zoo.intermediate])


@kind
def expired(zoo, write):
    return write(zoo.end_entity(write.host, valid=(-60, -1)), [zoo.intermediate])


@kind
def not_yet_valid(zoo, write):
    return write(zoo.end_entity(write.host, valid=(2, 60)), [zoo.intermediate])


@kind
def self_signed(zoo, write):
    itself = zoo.authority(write.host, key=zoo.ec_key)  # for its subject and its key's identifier
    return write(zoo.end_entity(write.host, issuer=itself), [])


@kind
def unknown_issuer(zoo, write):
    root = zoo.authority("Nobody's Root")
    middle = zoo.authority("Nobody's Intermediate", issuer=root, path_length=0)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def unknown_root_sent_along(zoo, write):
    root = zoo.authority("Nobody's Root")
    return write(zoo.end_entity(write.host, issuer=root), [root])


@kind
def lookalike_root(zoo, write):
    """The trusted root's subject, with another key."""
    root = zoo.authority("Zoo Root")
    middle = zoo.authority("Zoo Intermediate", issuer=root, path_length=0)
    return write(zoo.end_entity(write.host, issuer=middle), [middle, root])


@kind
def forged_signature(zoo, write):
    """Claims the trusted intermediate as its issuer, even by its key's identifier; signed with another key."""
    forger = Authority(zoo.intermediate.certificate, ec.generate_private_key(ec.SECP256R1()))
    return write(zoo.end_entity(write.host, issuer=forger), [zoo.intermediate])


@kind
def wrong_name(zoo, write):
    return write(zoo.end_entity("elsewhere.test", common_name=write.host), [zoo.intermediate])


@kind
def cn_only(zoo, write):
    return write(zoo.end_entity(None, common_name=write.host), [zoo.intermediate])


@kind
def sha1(zoo, write):
    return write(Authority(zoo.with_digest(write.host, "sha1"), zoo.ec_key), [zoo.intermediate])


@kind
def md5(zoo, write):
    # ECDSA with MD5 has no identifier: the issuer must be RSA.
    middle = zoo.authority("Zoo RSA Intermediate", issuer=zoo.root, path_length=0, key=zoo.rsa_key)
    kept, zoo.intermediate = zoo.intermediate, middle
    try:
        certificate = zoo.with_digest(write.host, "md5")
    finally:
        zoo.intermediate = kept
    return write(Authority(certificate, zoo.ec_key), [middle])


@kind
def sha1_intermediate(zoo, write):
    scratch = zoo.directory / "sha1-intermediate-ca"
    scratch.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    (scratch / "ca.pem").write_bytes(pem(zoo.root))
    (scratch / "ca.key").write_bytes(key_pem(zoo.root.key))
    (scratch / "new.key").write_bytes(key_pem(key))
    (scratch / "extensions").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n"
                                        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    openssl(scratch, "req", "-new", "-key", "new.key", "-subj", "/O=Zoo/CN=Zoo SHA-1 Intermediate", "-out", "new.csr")
    openssl(scratch, "x509", "-req", "-sha1", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30",
            "-set_serial", str(x509.random_serial_number()), "-extfile", "extensions", "-out", "new.crt")
    middle = Authority(x509.load_pem_x509_certificate((scratch / "new.crt").read_bytes()), key)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def rsa_1024(zoo, write):
    return write(zoo.end_entity(write.host, key=rsa.generate_private_key(65537, 1024)), [zoo.intermediate])


@kind
def ec_192(zoo, write):
    return write(zoo.end_entity(write.host, key=ec.generate_private_key(ec.SECP192R1())), [zoo.intermediate])


@kind
def unknown_critical_extension(zoo, write):
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
    return write(zoo.end_entity(write.host, more=[(unknown, True)]), [zoo.intermediate])


@kind
def malformed_extension(zoo, write):
    """Its cRLDistributionPoints are no DER."""
    broken = x509.UnrecognizedExtension(ExtensionOID.CRL_DISTRIBUTION_POINTS, b"\x30\x7f\x01")
    return write(zoo.end_entity(write.host, more=[(broken, True)]), [zoo.intermediate])


@kind
def client_auth_only(zoo, write):
    return write(zoo.end_entity(write.host, usage=ExtendedKeyUsageOID.CLIENT_AUTH), [zoo.intermediate])


@kind
def intermediate_client_auth_only(zoo, write):
    more = [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]
    middle = zoo.authority("Zoo Client Intermediate", issuer=zoo.root, path_length=0, more=more)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def intermediate_not_ca(zoo, write):
    """A leaf that signs leaves."""
    middle = zoo.authority("Zoo Not a CA", issuer=zoo.root, is_ca=False)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def intermediate_without_constraints(zoo, write):
    """Its keyUsage says keyCertSign, but it has no basicConstraints (RFC 5280 6.1.4 k)."""
    middle = zoo.authority("Zoo Without Constraints", issuer=zoo.root, is_ca=None)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def intermediate_may_not_sign(zoo, write):
    """CA:TRUE, and a keyUsage without keyCertSign."""
    middle = zoo.authority("Zoo No Signer", issuer=zoo.root, path_length=0, key_cert_sign=False)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def intermediate_v1(zoo, write):
    key = ec.generate_private_key(ec.SECP256R1())
    middle = Authority(zoo.version_1("Zoo Version 1", key), key)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def pathlen_broken(zoo, write):
    """Below an intermediate with pathLen 0 stands another one."""
    below = zoo.authority("Zoo One Too Many", issuer=zoo.intermediate, path_length=0)
    return write(zoo.end_entity(write.host, issuer=below), [below, zoo.intermediate])


@kind
def intermediate_expired(zoo, write):
    middle = zoo.authority("Zoo Old Intermediate", issuer=zoo.root, path_length=0, valid=(-400, -1))
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


@kind
def name_constraints_kept(zoo, write):
    return _constrained(zoo, write, permitted=[x509.DNSName("zoo.test")])


@kind
def name_constraints_violated(zoo, write):
    return _constrained(zoo, write, permitted=[x509.DNSName("elsewhere.test")])


@kind
def name_constraints_excluded(zoo, write):
    return _constrained(zoo, write, excluded=[x509.DNSName("zoo.test")])


@kind
def missing_intermediate(zoo, write, aia: str | None = None):
    """Without `aia` nobody can tell the issuer. Of an intermediate of its own: one found once may be remembered."""
    middle = zoo.authority(f"Zoo Absent {x509.random_serial_number() % 10 ** 9}", issuer=zoo.root, path_length=0)
    where = x509.AuthorityInformationAccess([x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(aia))]) if aia else None
    leaf = write(zoo.end_entity(write.host, issuer=middle, more=[(where, False)] if aia else []), [])
    (leaf.directory / "issuer.der").write_bytes(middle.certificate.public_bytes(DER))
    return leaf


@kind
def huge_chain(zoo, write, count: int = 100):
    """A good leaf and intermediate, and `count` certificates that have nothing to do with them."""
    strangers = [zoo.authority(f"Stranger {number}", key=zoo.ec_key) for number in range(count)]
    return write(zoo.end_entity(write.host), [zoo.intermediate, *strangers])


@kind
def enormous_chain(zoo, write):
    """More than any client takes (OpenSSL: 100 KiB)."""
    return huge_chain(zoo, write, 400)


@kind
def revoked(zoo, write):
    end = zoo.end_entity(write.host)
    return write(end, [zoo.intermediate], zoo.staple(end.certificate, revoked=True))


@kind
def stapled_good(zoo, write):
    end = zoo.end_entity(write.host)
    return write(end, [zoo.intermediate], zoo.staple(end.certificate))


@kind
def must_staple(zoo, write):
    """Asks for a staple and comes without one (RFC 7633)."""
    return write(_must_staple(zoo, write.host), [zoo.intermediate])


@kind
def must_staple_good(zoo, write):
    end = _must_staple(zoo, write.host)
    return write(end, [zoo.intermediate], zoo.staple(end.certificate))


@kind
def must_staple_old(zoo, write):
    """What was good a month ago may have been revoked since."""
    end = _must_staple(zoo, write.host)
    return write(end, [zoo.intermediate], zoo.staple(end.certificate, updated=-37, next_update=-30))


@kind
def must_staple_forged(zoo, write):
    end = _must_staple(zoo, write.host)
    forger = zoo.authority("Zoo Intermediate")
    return write(end, [zoo.intermediate], zoo.staple(end.certificate, signer=forger))


@kind
def must_staple_of_another(zoo, write):
    """A good answer, about another certificate."""
    another = zoo.end_entity(write.host)
    return write(_must_staple(zoo, write.host), [zoo.intermediate], zoo.staple(another.certificate))


def _must_staple(zoo, host):
    return zoo.end_entity(host, more=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)])


def _constrained(zoo, write, permitted=None, excluded=None):
    more = [(x509.NameConstraints(permitted, excluded), True)]
    middle = zoo.authority("Zoo Constrained Intermediate", issuer=zoo.root, path_length=0, more=more)
    return write(zoo.end_entity(write.host, issuer=middle), [middle])


# --- small things --------------------------------------------------------------------------------------------------------


def pem(of: Authority) -> bytes:
    return of.certificate.public_bytes(PEM)


def key_pem(key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def openssl(directory: Path, *arguments: str):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Zoo"),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _authority_key(issuer: Authority) -> x509.AuthorityKeyIdentifier:
    """By the issuer's certificate, so that a forger's leaf points at whom it claims."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key())


def _usage(**on) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: on.get(name, False) for name in every})
