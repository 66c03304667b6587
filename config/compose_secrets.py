"""The secrets of docker-compose.yml: `python3 -m config.compose_secrets FOLDER` makes those that are not there.

With `--rotate` it puts a new secret key in place of the old one, which verifies and opens as a former one still.
Standard library only: it runs on a host that has nothing but Docker and Python.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path


def make(folder: Path) -> list[str]:
    """Write the missing files into `folder`, and say which. Existing ones are never changed."""
    # The folder keeps others out; the files must be readable for the containers' own users.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    postgres = _keep(folder / "postgres_password", secrets.token_urlsafe(30))
    valkey = _keep(folder / "valkey_password", secrets.token_urlsafe(30))
    made = {
        "database_url": f"postgresql://plethora:{postgres}@postgres:5432/plethora",
        "broker_url": f"redis://:{valkey}@valkey:6379/0",
        "s3_credentials": "[default]\n"
        f"aws_access_key_id = {secrets.token_hex(10)}\naws_secret_access_key = {secrets.token_urlsafe(30)}\n",
        "secret_key": secrets.token_urlsafe(48),
        "secret_key_fallbacks": "",
        "audit_keys": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
    new = [name for name in made if not (folder / name).exists()]
    for name in new:
        _keep(folder / name, made[name])
    return new


def rotate(folder: Path) -> None:
    """A new secret key; the old one is among the former ones before it is replaced, and so never missing."""
    key, former = folder / "secret_key", folder / "secret_key_fallbacks"
    kept = [word for word in (key.read_text().strip(), *former.read_text().strip().split(",")) if word]
    _write(former, ",".join(dict.fromkeys(kept)))
    _write(key, secrets.token_urlsafe(48))


def _keep(path: Path, text: str) -> str:
    """The file's content; `text` where there is no file yet."""
    if not path.exists():
        _write(path, text)
    return path.read_text()


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(path)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--rotate"]
    place = Path(words[0] if words else "secrets")
    print(f"{place}: made {', '.join(make(place)) or 'nothing, all were there'}")  # noqa: T201
    if "--rotate" in sys.argv:
        rotate(place)
        print("a new secret_key; recreate the containers, and empty secret_key_fallbacks later")  # noqa: T201
