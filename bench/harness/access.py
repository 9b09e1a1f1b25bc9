"""How callers connect in the part `access`, and what shows who they are."""

import hashlib
from typing import NamedTuple

from .tools import CERTIFICATES, WORK

# What the load shows: `src/bin/load/client.rs` and `src/bin/certificates.rs` have them too.
TOKEN, NAME = "bench-token", "client.example"
CALLERS = 100


class Access(NamedTuple):
    name: str
    tls: bool = False
    # With a certificate, which the server insists on.
    mutual: bool = False
    # The gateway has a token of its own, and a callers file. Envoy has nothing like it.
    callers: bool = False

    def settings(self) -> dict:
        """The gateway's."""
        settings = {}
        if self.tls:
            settings |= {"GATEWAY_TLS_CERT": file("server.pem"), "GATEWAY_TLS_KEY": file("server.key")}
        if self.mutual:
            settings["GATEWAY_TLS_CLIENT_CA"] = file("authority.pem")
        if self.callers:
            callers = WORK / "callers.toml"
            callers.write_text("".join(self.entry(number) for number in range(CALLERS)))
            settings |= {"CHARTBREW_TOKEN": "own-token", "GATEWAY_CALLERS_FILE": str(callers)}
        return settings

    def entry(self, number: int) -> str:
        """Of a caller with all that can be checked. The load is the one in the middle."""
        own = number == CALLERS // 2
        token = hashlib.sha256((TOKEN if own else f"token-{number}").encode()).hexdigest()
        entry = f'[[caller]]\nname = "caller-{number}"\ntoken_sha256 = ["{token}"]\n'
        if self.mutual:
            entry += f'certificate_names = ["{NAME if own else f"{number}.{NAME}"}"]\n'
        return entry + 'teams = [1]\nmethods = ["Create"]\ncalls_per_second = 1000000\n'

    def transport_socket(self) -> dict:
        """Envoy's, for the filter chain of its listener."""
        if not self.tls:
            return {}
        common = {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{"certificate_chain": {"filename": file("server.pem")}, "private_key": {"filename": file("server.key")}}],
        }
        if self.mutual:
            common["validation_context"] = {"trusted_ca": {"filename": file("authority.pem")}}
        context = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": self.mutual,
            "common_tls_context": common,
        }
        return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}

    def load_options(self) -> dict:
        options = {"ca": file("authority.pem")} if self.tls else {}
        return options | ({"cert": file("client.pem"), "key": file("client.key")} if self.mutual else {})


PLAIN = Access("plain")
ACCESS = [
    PLAIN,
    Access("TLS 1.3", tls=True),
    Access("client certificates", tls=True, mutual=True),
    Access("callers file", callers=True),
    Access("client certificates and callers file", tls=True, mutual=True, callers=True),
]


def file(name: str) -> str:
    return str(CERTIFICATES / name)
