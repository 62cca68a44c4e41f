"""Certificates for tests, made with the openssl command into a directory: nothing of the kind is committed.

    authority = Authority(directory)
    shop = authority.issue("shop", "shop.example", "*.shop.example", "127.0.0.1", key="rsa")
    shop.cert, shop.key, authority.cert

Authorities know nothing of each other: one that nobody was told of is the wrong one.
"""

import ipaddress
import pathlib
import ssl

from servers import command

KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}

# What openssl wants to know before it signs anything.
CONFIG = """\
[ca]
default_ca = it
[it]
database = {directory}/index.txt
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
"""

FUTURE, PAST = ("20000101000000Z", "20991231235959Z"), ("20000101000000Z", "20010101000000Z")


class Certificate:
    def __init__(self, name, cert, key):
        self.name, self.cert, self.key = name, cert, key


class Authority:
    """A CA. `cert` is what those are given who are to believe it."""

    def __init__(self, directory, name="Weir test CA"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        self.config = self.directory / "ca.conf"
        self.config.write_text(CONFIG.format(directory=self.directory))
        (self.directory / "index.txt").touch()
        command("openssl", "req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-keyout", self.key, "-out", self.cert,
            "-days", "3650", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, *names, key="ec", client=False, expired=False, must_staple=False):
        """A certificate for these host names and addresses (`name` itself when there are none); of a client, `name` is its
        subject. It stands in files called `name`."""
        here = self.directory / name
        request, extensions = here.with_suffix(".csr"), here.with_suffix(".ext")
        result = Certificate(name, here.with_suffix(".pem"), here.with_suffix(".key"))
        extensions.write_text("\n".join([
            "basicConstraints = critical,CA:FALSE",
            "keyUsage = critical,digitalSignature" + (",keyEncipherment" if key == "rsa" else ""),
            f"extendedKeyUsage = {'clientAuth' if client else 'serverAuth'}",
            "authorityKeyIdentifier = keyid",
            *([] if client else ["subjectAltName = " + ",".join(map(alternative, names or (name,)))]),
            *(["tlsfeature = status_request"] if must_staple else []),
        ]) + "\n")
        command("openssl", "req", "-new", "-newkey", *KEYS[key], "-nodes", "-keyout", result.key, "-out", request,
            "-subj", f"/CN={name}")
        begin, end = PAST if expired else FUTURE
        command("openssl", "ca", "-batch", "-notext", "-config", self.config, "-cert", self.cert, "-keyfile", self.key,
            "-in", request, "-out", result.cert, "-extfile", extensions, "-startdate", begin, "-enddate", end)
        return result

    def context(self, client=None, protocols=()):
        """What a client believes who was told of this authority, and shows."""
        context = ssl.create_default_context(cafile=str(self.cert))
        if client:
            context.load_cert_chain(client.cert, client.key)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def alternative(name):
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def server_context(certificate, protocols=()):
    """What a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
