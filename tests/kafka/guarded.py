"""A Kafka node that wants TLS and a login: its certificate and its properties."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.cluster import Node

STORE_PASSWORD = "changeit"


@dataclass(frozen=True, slots=True)
class Certificate:
    """`store`: for the node, by the JDK's keytool. `pem`: what clients trust."""

    store: Path
    pem: Path


def make_certificate(directory: Path, names: str = "san=ip:127.0.0.1") -> Certificate:
    store, pem = directory / "broker.p12", directory / "ca.pem"
    keytool = ["keytool", "-keystore", str(store), "-storepass", STORE_PASSWORD, "-alias", "broker"]
    make = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=127.0.0.1", "-ext", names]
    subprocess.run([*keytool, *make, "-ext", "bc=ca:true"], check=True, capture_output=True)
    subprocess.run([*keytool, "-exportcert", "-rfc", "-file", str(pem)], check=True, capture_output=True)
    return Certificate(store, pem)


def login(mechanism: str, user: str, password: str, *others: str) -> dict[str, str]:
    """Who may log in by a mechanism; `user` is the node's own. `others`: `user_NAME="PASSWORD"` for PLAIN."""
    kind = "plain.Plain" if mechanism == "PLAIN" else "scram.Scram"
    options = " ".join([f'username="{user}" password="{password}"', *others])
    module = f"org.apache.kafka.common.security.{kind}LoginModule required {options};"
    return {
        "sasl.enabled.mechanisms": mechanism,
        "sasl.mechanism.inter.broker.protocol": mechanism,
        f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": module,
    }


def guarded(node: Node, certificate: Certificate) -> Mapping[str, str]:
    """One listener, with TLS and a login."""
    return {
        "listeners": f"SASL_SSL://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"SASL_SSL://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "ssl.keystore.location": str(certificate.store),
        "ssl.keystore.password": STORE_PASSWORD,
        "ssl.truststore.location": str(certificate.store),
        "ssl.truststore.password": STORE_PASSWORD,
    }
