"""A world of certificates for origins: a public root that the gateway trusts, and every way to be wrong about it."""
from __future__ import annotations

import datetime
import functools
import ipaddress
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
        response = staple(certificate, issuer) if callable(staple) else \
            self.staple(certificate, issuer, staple) if staple else None
        chain = [self.between.certificate] if chain is None else chain
        return Leaf(self.folder, kind, [certificate, *chain], key, response)

    def staple(self, certificate, issuer: Signer, status=ocsp.OCSPCertStatus.GOOD, *, signer: Signer | None = None,
               age=DAY / 24, life=DAY) -> bytes:
        """An OCSP answer of `signer`, which is sent along where it is not the issuer itself (RFC 6960 4.2.2.2)."""
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        builder = (ocsp.OCSPResponseBuilder()
                   .add_response(certificate, issuer.certificate, hashes.SHA1(), status, NOW - age, NOW - age + life,
                                 NOW - age - DAY / 2 if revoked else None,
                                 x509.ReasonFlags.key_compromise if revoked else None)
                   .responder_id(ocsp.OCSPResponderEncoding.HASH, (signer or issuer).certificate))
        if signer:
            builder = builder.certificates([signer.certificate])
        return builder.sign((signer or issuer).key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

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

    def _name_constraints_kept(self, kind):
        return self._scoped(kind, x509.NameConstraints([x509.DNSName(self.name)], None))

    def _long_chain(self, kind):
        """A hundred certificates that have nothing to do with it: about 40 KB."""
        return self.leaf(kind, chain=[self.between.certificate, *self._nobodies(100)])

    def _must_staple_good(self, kind):
        return self._must_staple(kind, ocsp.OCSPCertStatus.GOOD)

    def _must_staple_by_a_delegate(self, kind):
        return self._must_staple(kind, lambda leaf, issuer: self.staple(leaf, issuer, signer=self._delegate()))

    def _ip_address(self, kind):
        """For the lab's free addresses."""
        return self.leaf(kind, names=[x509.IPAddress(ipaddress.ip_address(each)) for each in ("10.99.0.3", "fd00:99::3")])

    def _below_a_star(self, kind):
        return self.leaf(kind, names=[x509.DNSName("*." + self.name)])

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
        return self._by_openssl(kind, self.between, "-sha1")

    def _md5(self, kind):
        """ECDSA knows no MD5: an RSA intermediate signs."""
        between = Signer("RSA Intermediate", self.root, pathlen=0, key=rsa.generate_private_key(65537, 2048))
        return self._by_openssl(kind, between, "-md5")

    def _sha1_intermediate(self, kind):
        between = Signer("SHA-1 Intermediate", self.root, pathlen=0)
        between.certificate = self._signed_by_openssl(
            "between", between.key, between.name, self.root, "-sha1",
            "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n")
        return self.leaf(kind, between, chain=[between.certificate])

    def _by_openssl(self, kind, issuer: Signer, *options) -> Leaf:
        """For what the library refuses to sign with."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed_by_openssl(kind, key, self.name, issuer, *options,
                                              f"subjectAltName=DNS:{self.name}\nextendedKeyUsage=serverAuth\n")
        return Leaf(self.folder, kind, [certificate, issuer.certificate], key)

    def _signed_by_openssl(self, kind, key, name: str, issuer: Signer, digest: str, extensions: str | None):
        """Without extensions it is of version 1 (RFC 5280 4.1.2.1)."""
        csr, new_key, ca, ca_key, extra = (self.folder / f"{kind}.{x}" for x in ("csr", "newkey", "ica", "ikey", "ext"))
        new_key.write_bytes(key_pem(key))
        ca.write_bytes(pem(issuer.certificate))
        ca_key.write_bytes(key_pem(issuer.key))
        run = functools.partial(subprocess.run, check=True, capture_output=True)
        run(["openssl", "req", "-new", "-key", new_key, "-subj", f"/CN={name}", "-out", csr])
        if extensions:
            extra.write_text(extensions)
        made = run(["openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, digest, "-days", "60",
                    "-CAcreateserial", *(["-extfile", extra] if extensions else [])]).stdout
        return x509.load_pem_x509_certificate(made)

    def _ec_192(self, kind):
        return self.leaf(kind, key=ec.generate_private_key(ec.SECP192R1()))

    def _unknown_critical_extension(self, kind):
        return self.leaf(kind, extensions=[(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\0"),
                                            True)])

    def _malformed_extension(self, kind):
        broken = x509.UnrecognizedExtension(x509.oid.ExtensionOID.CRL_DISTRIBUTION_POINTS, b"\x30\x7f\x01")
        return self.leaf(kind, extensions=[(broken, False)])

    def _wildcard_of_a_tld(self, kind):
        return self.leaf(kind, names=[x509.DNSName("*." + self.name.rpartition(".")[2])])

    def _client_auth_only(self, kind):
        return self.leaf(kind, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def _intermediate_not_ca(self, kind):
        between = Signer("No CA", self.root, ca=False)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_without_constraints(self, kind):
        between = Signer("Says Nothing", self.root, ca=None, usage=False)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_signs_without_constraints(self, kind):
        """It says keyCertSign, but not that it is a CA (RFC 5280 6.1.4 k)."""
        between = Signer("Says It Signs", self.root, ca=None)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_may_not_sign(self, kind):
        between = Signer("CA without keyCertSign", self.root, usage=False, extensions=[(_usage(sign=False), True)])
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_v1(self, kind):
        between = Signer("Version 1", self.root)
        between.certificate = self._signed_by_openssl("v1", between.key, between.name, self.root, "-sha256", None)
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_client_auth_only(self, kind):
        between = Signer("For Clients", self.root,
                         extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)])
        return self.leaf(kind, between, chain=[between.certificate])

    def _intermediate_expired(self, kind):
        between = Signer("Old Intermediate", self.root, begin=-300 * DAY, end=-DAY)
        return self.leaf(kind, between, chain=[between.certificate])

    def _pathlen_broken(self, kind):
        below = Signer("Below", self.between)
        return self.leaf(kind, below, chain=[below.certificate, self.between.certificate])

    def _name_constraints_violated(self, kind):
        return self._scoped(kind, x509.NameConstraints([x509.DNSName("elsewhere.test")], None))

    def _name_constraints_excluded(self, kind):
        return self._scoped(kind, x509.NameConstraints(None, [x509.DNSName(self.name)]))

    def _scoped(self, kind, constraints):
        between = Signer("Scoped", self.root, extensions=[(constraints, True)])
        return self.leaf(kind, between, chain=[between.certificate])

    def _must_staple(self, kind, staple=None):
        return self.leaf(kind, extensions=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)], staple=staple)

    def _must_staple_old(self, kind):
        """Good a month ago: it may have been revoked since."""
        return self._must_staple(kind, lambda leaf, issuer: self.staple(leaf, issuer, age=30 * DAY))

    def _must_staple_forged(self, kind):
        return self._must_staple(kind, lambda leaf, issuer: self.staple(leaf, issuer, signer=Signer(issuer.name)))

    def _must_staple_by_a_leaf(self, kind):
        """A certificate of the same issuer that may not sign answers."""
        return self._must_staple(kind, lambda leaf, issuer: self.staple(leaf, issuer, signer=self._delegate(None)))

    def _must_staple_of_another(self, kind):
        another = Signer("another", self.between, ca=False).certificate
        return self._must_staple(kind, lambda _, issuer: self.staple(another, issuer))

    def _must_staple_unavailable(self, kind):
        later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
        return self._must_staple(kind, lambda *_: later.public_bytes(serialization.Encoding.DER))

    def _delegate(self, usage=ExtendedKeyUsageOID.OCSP_SIGNING) -> Signer:
        more = [(x509.ExtendedKeyUsage([usage]), False)] if usage else []
        return Signer("Responder", self.between, ca=False, usage=False, extensions=[(_usage(sign=False), True), *more])

    def _revoked(self, kind):
        return self.leaf(kind, staple=ocsp.OCSPCertStatus.REVOKED)

    def _revoked_by_a_delegate(self, kind):
        return self.leaf(kind, staple=lambda leaf, issuer: self.staple(leaf, issuer, ocsp.OCSPCertStatus.REVOKED,
                                                                      signer=self._delegate()))

    def _huge_chain(self, kind):
        return self.leaf(kind, chain=[self.between.certificate, *self._nobodies(300)])

    def _nobodies(self, count: int) -> list:
        return [Signer(f"Nobody {i} " + "x" * 50, key=self.root.key).certificate for i in range(count)]

    def signed_by(self, ca_certificate: Path, ca_key: Path, kind="own_root") -> Leaf:
        own = Signer.__new__(Signer)
        own.certificate = x509.load_pem_x509_certificate(ca_certificate.read_bytes())
        own.key = serialization.load_pem_private_key(ca_key.read_bytes(), None)
        own.name = own.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return self.leaf(kind, own, chain=[own.certificate])
