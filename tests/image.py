"""Looks into the image of a release, and runs its program as a container would.

    python3 tests/image.py ARCHIVE VERSION COMMIT

As a container: from the unpacked root file system, which is read-only, as the image's user, with its
environment, commands and health check, in a network of its own. That of another architecture runs in QEMU if
qemu-user-static is installed. Chartbrew is the embedded one of the same image.

Needs Linux, root and iproute2.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

STARTS = 20
LIMIT = 60.0
FILES = {"LICENSE", "chartbrew-gateway", "etc/ssl/certs/ca-certificates.crt"}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
CHARTBREW = "127.0.0.1:4019"
SETTINGS = {"CHARTBREW_URL": f"http://{CHARTBREW}", "GATEWAY_SHUTDOWN_DELAY": "0s"}


class Layout:
    """An OCI layout in a tar file."""

    def __init__(self, archive: str):
        with tarfile.open(archive) as tar:
            self.files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}

    def images(self):
        """The architecture, the manifest and the configuration of each image."""
        (index,) = json.loads(self.files["index.json"])["manifests"]
        for entry in json.loads(self.blob(index))["manifests"]:
            manifest = json.loads(self.blob(entry))
            config = json.loads(self.blob(manifest["config"]))
            assert entry["platform"]["architecture"] == config["architecture"]
            yield config["architecture"], manifest, config["config"]

    def blob(self, descriptor: dict) -> bytes:
        content = self.files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
        assert descriptor["size"] == len(content)
        return content


class Container:
    """A process as a container runtime starts it."""

    def __init__(self, root: Path, config: dict, words: list[str], env: dict | None = None):
        user, group = map(int, config["User"].split(":"))

        def enter():
            os.chroot(root)
            os.chdir(config.get("WorkingDir") or "/")
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)

        variables = dict(variable.split("=", 1) for variable in config["Env"]) | (env or {})
        emulator = ["/qemu"] if (root / "qemu").exists() else []
        self.began = time.monotonic()
        self.child = subprocess.Popen([*emulator, *words], env=variables, preexec_fn=enter, cwd="/",
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def output(self) -> str:
        output, _ = self.child.communicate(timeout=LIMIT)
        assert self.child.returncode == 0, f"{self.child.args} ended with {self.child.returncode}"
        return output

    def ready(self) -> float:
        """Waits for /readyz. Returns the milliseconds since the start."""
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:9464/readyz", timeout=LIMIT) as response:
                    assert response.read() == b"ok\n"
                return (time.monotonic() - self.began) * 1000
            except OSError:
                assert self.child.poll() is None, "the gateway ended"
                assert time.monotonic() - self.began < LIMIT, "the gateway is not ready"
                time.sleep(0.0005)

    def resident(self) -> float:
        """MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def unpack(layout: Layout, manifest: dict, root: Path) -> int:
    """The root file system. Returns the size of its files."""
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(layout.blob(layer))) as tar:
            tar.extractall(root)
    files = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    assert files.keys() == FILES, files.keys()
    return sum(files.values())


def protect(root: Path):
    """Makes it read-only."""
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)


def run(root: Path, config: dict, starts: int, version: str, commit: str) -> str:
    program = config["Entrypoint"]
    with Container(root, config, [*program, "--version"]) as container:
        said = container.output()
    assert version in said and commit[:12] in said, said
    # With https for Chartbrew. Without the image's authorities it would not start.
    with Container(root, config, [*program, *config["Cmd"]]) as gateway:
        gateway.ready()
    with Container(root, config, [*program, "sandbox", "--listen", CHARTBREW]) as chartbrew:
        assert chartbrew.child.stdout.readline().startswith("url ")
        times = []
        for _ in range(starts):
            with Container(root, config, [*program, *config["Cmd"]], SETTINGS) as gateway:
                times.append(gateway.ready())
                with Container(root, config, [*program, "health"]) as health:
                    health.output()
                resident = gateway.resident()
                gateway.child.terminate()
                assert gateway.child.wait(LIMIT) == 0
    return f"ready after {statistics.median(times):.0f} ms (median of {starts}), {resident:.1f} MiB resident"


def main():
    archive, version, commit = sys.argv[1:]
    if os.environ.get("IMAGE_TEST") != "unshared":
        # No other process sees the mounts and the ports.
        os.environ["IMAGE_TEST"] = "unshared"
        os.execvp("unshare", ["unshare", "--mount", "--net", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    layout, seen = Layout(archive), []
    for architecture, manifest, config in layout.images():
        seen.append(architecture)
        assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/chartbrew-gateway"]
        assert config["Labels"]["org.opencontainers.image.revision"] == commit
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "root")
            size = unpack(layout, manifest, root)
            layers = sum(layer["size"] for layer in manifest["layers"])
            print(f"{architecture}: {layers / 2**20:.1f} MiB, unpacked {size / 2**20:.1f} MiB")
            emulator = shutil.which(f"qemu-{MACHINES[architecture]}-static")
            native = MACHINES[architecture] == platform.machine()
            assert native or emulator, f"{architecture}: needs qemu-user-static"
            if not native:
                shutil.copy(emulator, root / "qemu")
            os.chmod(folder, 0o755)
            protect(root)
            try:
                figures = run(root, config, STARTS if native else 1, version, commit)
                print(f"{architecture}: {figures if native else 'runs in QEMU'}")
            finally:
                subprocess.run(["umount", root], check=True)
    assert sorted(seen) == sorted(MACHINES), seen


main()
