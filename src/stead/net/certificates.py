"""TLS certificates that come from a node's own key: the node is its own, and only its own, authority.

The *authority* is a self-signed X.509 certificate of the node's Ed25519 key. It is a function of the key: made again,
it is the same bytes. The *leaf* that TLS shows is a P-256 certificate (browsers speak no Ed25519) signed by it, made
anew at each start. Who pins the node's key can check the authority, and TLS checks the leaf against the authority.

References: RFC 5280; RFC 8410 (Ed25519 in X.509).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stead.core.clock import Clock
from stead.core.codec import digest
from stead.core.entropy import Entropy
from stead.core.keys import Key, PublicKey, write_private
from stead.core.messages import PROTOCOL
from stead.errors import BadMessage, UsageError, VersionMismatch

LEAF_DAYS: Final = 397
"""How long a leaf is valid; browsers refuse more than 398 days."""

MAX_IDENTITY_BYTES: Final = 64 * 1024

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HEX_KEY: Final = re.compile(r"[0-9a-f]{64}")
_BEGINNING: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NO_END: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


class Identity(msgspec.Struct, frozen=True):
    """What ``GET /v1/identity`` tells, as JSON: who the node is.

    Attributes:
        name: what the node calls itself; unproven.
        protocol: the version of messages that it speaks.
        key: its Ed25519 public key, 64 lower-case hexadecimal digits.
        ca: the authority, one PEM certificate.
    """

    name: str
    protocol: int
    key: str
    ca: str

    @property
    def public_key(self) -> PublicKey:
        """The key, parsed."""
        return PublicKey(bytes.fromhex(self.key))


class ServerCertificate(msgspec.Struct, frozen=True):
    """The files that a TLS server wants: the leaf with its authority behind it, and the leaf's private key."""

    certificate: Path
    private_key: Path


def make_identity(name: str, key: Key) -> bytes:
    """The JSON that a node serves at ``/v1/identity``."""
    return msgspec.json.encode(Identity(name=name, protocol=PROTOCOL, key=key.public.raw.hex(), ca=make_authority(key)))


def read_identity(data: bytes) -> Identity:
    """An identity from outside, checked: its authority is a self-signed certificate of exactly its key.

    It is not shown by this that whoever sent it holds the key; a TLS connection under the authority shows that.

    Raises:
        BadMessage: no identity, or its parts do not agree.
        VersionMismatch: the node speaks another version.
    """
    if len(data) > MAX_IDENTITY_BYTES:
        raise BadMessage(f"an identity of {len(data)} bytes is over the limit of {MAX_IDENTITY_BYTES}.")
    try:
        identity = msgspec.json.decode(data, type=Identity)
    except (ValueError, RecursionError):
        raise BadMessage("the node's identity is not the JSON that the protocol asks for.") from None
    if identity.protocol != PROTOCOL:
        raise VersionMismatch(
            f"the node speaks protocol version {identity.protocol}; this side speaks {PROTOCOL}.",
            hint="upgrade the older side",
        )
    if not _HEX_KEY.fullmatch(identity.key):
        raise BadMessage("the node's key is not 64 lower-case hexadecimal digits.")
    # Only the parsed certificate goes on: the PEM text might hold a second one, which TLS would trust as well.
    return msgspec.structs.replace(identity, ca=_checked_authority(identity.ca, identity.public_key))


def make_authority(key: Key) -> str:
    """The PEM certificate of the node's key as an authority over nothing but its own TLS leaf."""
    public = key.for_certificates().public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_authority_name(key.public))
        .issuer_name(_authority_name(key.public))
        .public_key(public)
        .serial_number(_serial(digest("stead.authority", key.public.raw)))
        .not_valid_before(_BEGINNING)
        .not_valid_after(_NO_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key.for_certificates(), algorithm=None)
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def make_certificate(
    key: Key, hostnames: Sequence[str], *, directory: Path, clock: Clock, entropy: Entropy
) -> ServerCertificate:
    """Make a new TLS leaf, replacing the files of an earlier one.

    Args:
        key: the node's key, which signs the leaf.
        hostnames: DNS names and IP addresses under which browsers will meet the node.
        directory: where ``tls-certificate.pem`` and ``tls-key.pem`` go, both with mode 0600.
        clock: the leaf is valid from a day before now, for ``LEAF_DAYS``.
        entropy: gives the leaf's key.

    Raises:
        UsageError: no hostname, one that cannot be a name, or the files cannot be written.
    """
    scalar = int.from_bytes(entropy.take(48), "big") % (_P256_ORDER - 1) + 1
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    issuer = key.for_certificates().public_key()
    now = dt.datetime.fromtimestamp(int(clock.now()), tz=dt.UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stead node")]))
        .issuer_name(_authority_name(key.public))
        .public_key(private.public_key())
        .serial_number(_serial(entropy.take(16)))
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=LEAF_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName(_names(hostnames)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        .sign(key.for_certificates(), algorithm=None)
    )
    files = ServerCertificate(certificate=directory / "tls-certificate.pem", private_key=directory / "tls-key.pem")
    _replace(files.private_key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _replace(files.certificate, leaf.public_bytes(Encoding.PEM) + make_authority(key).encode())
    return files


def _checked_authority(pem: str, public_key: PublicKey) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        shown = certificate.public_key()
        certificate.verify_directly_issued_by(certificate)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ):
        raise BadMessage("the node's certificate is not a self-signed authority.") from None
    if not isinstance(shown, Ed25519PublicKey) or not constraints.ca:
        raise BadMessage("the node's certificate is not an Ed25519 authority.")
    if shown.public_bytes(Encoding.Raw, PublicFormat.Raw) != public_key.raw:
        raise BadMessage("the node's certificate is of another key than the node's.")
    return certificate.public_bytes(Encoding.PEM).decode()


def _authority_name(public_key: PublicKey) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"stead node {public_key.fingerprint()}")])


def _serial(data: bytes) -> int:
    """A positive serial number of at most 127 bits."""
    return (int.from_bytes(data[:16], "big") >> 1) | 1


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hostnames: Sequence[str]) -> list[x509.GeneralName]:
    if not hostnames:
        raise UsageError("a certificate needs at least one host name or address.")
    return [_name(hostname) for hostname in dict.fromkeys(hostnames)]


def _name(hostname: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(hostname))
    except ValueError:
        pass
    try:
        return x509.DNSName(hostname.encode("idna").decode())
    except ValueError:
        raise UsageError(f"{hostname[:80]!r} is neither a host name nor an address.") from None


def _replace(path: Path, data: bytes) -> None:
    """Write a private file under a new name, then move it into place, so that no reader meets half of it."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, data)
    fresh.replace(path)
