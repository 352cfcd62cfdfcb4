"""A world of certificates for origins: a public root that the gateway trusts, and every way to be wrong about it."""
from __future__ import annotations

import datetime
import functools
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


def pem(certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Signer:
    """A CA, or what passes for one."""

    def __init__(self, name: str, issuer: "Signer | None" = None, *, ca=True, pathlen=None, begin=-30 * DAY, end=300 * DAY,
                 key=None, extensions=(), usage=True):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder().subject_name(subject(name)).issuer_name(subject(issuer.name if issuer else name))
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW + begin).not_valid_after(NOW + end))
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, pathlen if ca else None), critical=True)
        if usage:
            builder = builder.add_extension(_usage(sign=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        self.name = name
        self.certificate = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())


def _usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=not sign, content_commitment=False, key_encipherment=False,
                         data_encipherment=False, key_agreement=False, key_cert_sign=sign, crl_sign=sign,
                         encipher_only=False, decipher_only=False)


class Leaf:
    """Files for a server: chain.pem and key.pem; staple.der where there is one."""

    def __init__(self, folder: Path, kind: str, chain: list, key, staple: bytes | None = None):
        self.chain, self.key, self.staple = folder / f"{kind}.pem", folder / f"{kind}.key", None
        self.chain.write_bytes(b"".join(map(pem, chain)))
        self.key.write_bytes(key_pem(key))
        if staple:
            self.staple = folder / f"{kind}.der"
            self.staple.write_bytes(staple)


class Zoo:
    """`trust` is the bundle that the gateway is given; make(kind) a leaf of that kind for `name`."""

    def __init__(self, name: str = "zoo.test", issuer_url: str = "http://10.99.0.2/issuer.der"):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-zoo-"))
        self.folder.chmod(0o755)
        self.name, self.issuer_url = name, issuer_url
        self.root = Signer("Public Root")
        self.between = Signer("Public Intermediate", self.root, pathlen=0)
        self.trust = self.folder / "trust.pem"
        self.trust.write_bytes(pem(self.root.certificate))

    def leaf(self, kind: str, issuer: Signer | None = None, *, names=None, begin=-DAY, end=60 * DAY, key=None, extensions=(),
             usage=ExtendedKeyUsageOID.SERVER_AUTH, digest=None, chain=None, staple=None, own_issuer=None) -> Leaf:
        issuer = issuer or self.between
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder().subject_name(subject(self.name)).issuer_name(subject(issuer.name))
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW + begin).not_valid_after(NOW + end))
        if names is None:
            names = [x509.DNSName(self.name)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(_usage(sign=False), critical=True)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(own_issuer or issuer.key, digest or hashes.SHA256())
        response = None
        if staple:
            response = (ocsp.OCSPResponseBuilder()
                        .add_response(certificate, issuer.certificate, hashes.SHA1(), staple, NOW - DAY / 24, NOW + DAY,
                                      NOW - DAY / 2 if staple is ocsp.OCSPCertStatus.REVOKED else None,
                                      x509.ReasonFlags.key_compromise if staple is ocsp.OCSPCertStatus.REVOKED else None)
                        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
                        .sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
        chain = [self.between.certificate] if chain is None else chain
        return Leaf(self.folder, kind, [certificate, *chain], key, response)

    @functools.lru_cache(maxsize=None)
    def make(self, kind: str) -> Leaf:
        return getattr(self, "_" + kind)(kind)

    # --- good ---
    def _good(self, kind):
        return self.leaf(kind)

    def _good_rsa(self, kind):
        return self.leaf(kind, key=rsa.generate_private_key(65537, 2048))

    def _stapled_good(self, kind):
        return self.leaf(kind, staple=ocsp.OCSPCertStatus.GOOD)

    def _wildcard(self, kind):
        return self.leaf(kind, names=[x509.DNSName("*." + self.name.partition(".")[2]), x509.DNSName(self.name)])

    def _missing_intermediate(self, kind):
        access = x509.AuthorityInformationAccess([x509.AccessDescription(
            x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(self.issuer_url))])
        return self.leaf(kind, chain=[], extensions=[(access, False)])

    # --- bad ---
    def _expired(self, kind):
        return self.leaf(kind, begin=-60 * DAY, end=-DAY)

    def _not_yet_valid(self, kind):
        return self.leaf(kind, begin=DAY, end=60 * DAY)

    def _self_signed(self, kind):
        own = Signer(self.name, ca=None, usage=False,
                     extensions=[(x509.SubjectAlternativeName([x509.DNSName(self.name)]), False)])
        return Leaf(self.folder, kind, [own.certificate], own.key)

    def _unknown_issuer(self, kind):
        other = Signer("Some Other Root")
        return self.leaf(kind, other, chain=[other.certificate])

    def _lookalike_root(self, kind):
        fake = Signer("Public Root")
        between = Signer("Public Intermediate", fake, pathlen=0)
        return self.leaf(kind, between, chain=[between.certificate, fake.certificate])

    def _wrong_name(self, kind):
        return self.leaf(kind, names=[x509.DNSName("elsewhere.test")])

    def _cn_only(self, kind):
        return self.leaf(kind, names=[])

    def _partial_wildcard(self, kind):
        return self.leaf(kind, names=[x509.DNSName("z*.test")])

    def _wrong_signature(self, kind):
        return self.leaf(kind, own_issuer=ec.generate_private_key(ec.SECP256R1()))

    def _rsa_1024(self, kind):
        return self.leaf(kind, key=rsa.generate_private_key(65537, 1024))

    def _sha1(self, kind):
        """The library refuses to sign with it: openssl does."""
        leaf = self.leaf(kind)
        csr, issuer, issuer_key, extension = (self.folder / f"{kind}.{x}" for x in ("csr", "ica", "ikey", "ext"))
        issuer.write_bytes(pem(self.between.certificate))
        issuer_key.write_bytes(key_pem(self.between.key))
        extension.write_text(f"subjectAltName=DNS:{self.name}\nextendedKeyUsage=serverAuth\n")
        run = functools.partial(subprocess.run, check=True, capture_output=True)
        run(["openssl", "req", "-new", "-key", leaf.key, "-subj", f"/CN={self.name}", "-out", csr])
        made = run(["openssl", "x509", "-req", "-in", csr, "-CA", issuer, "-CAkey", issuer_key, "-sha1", "-days", "60",
                    "-CAcreateserial", "-extfile", extension]).stdout
        leaf.chain.write_bytes(made + pem(self.between.certificate))
        return leaf

    def _unknown_critical_extension(self, kind):
        return self.leaf(kind, extensions=[(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0"),
                                            True)])

    def _client_auth_only(self, kind):
        return self.leaf(kind, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def _intermediate_not_ca(self, kind):
        between = Signer("No CA", self.root, ca=False)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_without_constraints(self, kind):
        between = Signer("Says Nothing", self.root, ca=None, usage=False)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_expired(self, kind):
        between = Signer("Old Intermediate", self.root, begin=-300 * DAY, end=-DAY)
        return self.leaf(kind, between, chain=[between.certificate])

    def _pathlen_broken(self, kind):
        below = Signer("Below", self.between)
        return self.leaf(kind, below, chain=[below.certificate, self.between.certificate])

    def _name_constraints_violated(self, kind):
        between = Signer("Scoped", self.root,
                         extensions=[(x509.NameConstraints([x509.DNSName("elsewhere.test")], None), True)])
        return self.leaf(kind, between, chain=[between.certificate])

    def _must_staple(self, kind):
        return self.leaf(kind, extensions=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)])

    def _revoked(self, kind):
        return self.leaf(kind, staple=ocsp.OCSPCertStatus.REVOKED)

    def _huge_chain(self, kind):
        many = [Signer(f"Nobody {i} " + "x" * 50, key=self.root.key).certificate for i in range(300)]
        return self.leaf(kind, chain=[self.between.certificate, *many])

    def signed_by(self, ca_certificate: Path, ca_key: Path, kind="own_root") -> Leaf:
        own = Signer.__new__(Signer)
        own.certificate = x509.load_pem_x509_certificate(ca_certificate.read_bytes())
        own.key = serialization.load_pem_private_key(ca_key.read_bytes(), None)
        own.name = own.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return self.leaf(kind, own, chain=[own.certificate])
