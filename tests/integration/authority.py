"""Certificates for tests, made by the openssl command when they run."""

import functools
import pathlib
import ssl
import tempfile

from servers import command

CA_CONFIG = """
[ca]
default_ca = it
[it]
database = {directory}/index.txt
serial = {directory}/serial
new_certs_dir = {directory}
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Authority:
    """A CA with a directory for what it signs. Paths are strings, as configurations want them."""

    def __init__(self, directory, name):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca, self.ca_key = self._path("ca.pem"), self._path("ca.key")
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.ca_key)
        self._openssl("req", "-x509", "-new", "-key", self.ca_key, "-subj", f"/CN={name}", "-days", 30, "-out", self.ca,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        (self.directory / "index.txt").touch()
        (self.directory / "serial").write_text("1000\n")
        (self.directory / "ca.conf").write_text(CA_CONFIG.format(directory=self.directory))

    def _path(self, name):
        return str(self.directory / name)

    @staticmethod
    def _openssl(*arguments):
        return command("openssl", *arguments)

    def issue(self, name, *names, kind="EC", bits=2048, expired=False):
        """{"cert": ..., "key": ...} for these DNS names and addresses."""
        cert, key, request = (self._path(f"{name}.{suffix}") for suffix in ("pem", "key", "csr"))
        if kind == "EC":
            self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        else:
            self._openssl("genrsa", "-out", key, bits)
        san = ",".join(f"IP:{n}" if n[0].isdigit() else f"DNS:{n}" for n in names or (f"{name}.test",))
        self._openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-addext", f"subjectAltName={san}",
            "-out", request)
        dates = ("20200101000000Z", "20210101000000Z") if expired else ("20200101000000Z", "20491231000000Z")
        self._openssl("ca", "-batch", "-notext", "-config", self._path("ca.conf"), "-cert", self.ca, "-keyfile", self.ca_key,
            "-startdate", dates[0], "-enddate", dates[1], "-in", request, "-out", cert)
        return {"cert": cert, "key": key}

    def ocsp(self, name):
        """The response that says that the certificate is good."""
        out, request = self._path(f"{name}.ocsp"), self._path(f"{name}.ocsp-request")
        self._openssl("ocsp", "-issuer", self.ca, "-cert", self._path(f"{name}.pem"), "-reqout", request)
        self._openssl("ocsp", "-index", self._path("index.txt"), "-CA", self.ca, "-rsigner", self.ca, "-rkey", self.ca_key,
            "-reqin", request, "-respout", out, "-ndays", 7)
        return out

    def client_context(self, cert=None, **options):
        """For a client that believes this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if cert:
            context.load_cert_chain(cert["cert"], cert["key"])
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def server_context(self, cert, clients=False):
        """For an origin that has this certificate, and may want one of this authority's clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert["cert"], cert["key"])
        if clients:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@functools.cache
def authorities():
    """Two of them, for the whole session: the one that is believed and another."""
    directory = tempfile.TemporaryDirectory(prefix="weir-authority-")
    ours, other = Authority(f"{directory.name}/ours", "Our CA"), Authority(f"{directory.name}/other", "Other CA")
    ours.temporary = directory
    return ours, other
