"""What to type to change a setting, by where it is set now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

_ENCRYPTED, _PLAIN = "encrypted_", "tracker_"
"""How systemd calls what is in the two folders of credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mending:
    """Where settings are set on this host."""

    origins: Mapping[str, str]
    """By dotted key, as the configuration tells them."""
    file: Path | None
    folder: Path
    """Where the configuration of the service is, with its credentials."""
    is_unit: bool
    """Whether systemd runs the daemon."""

    def of(self, key: str) -> str:
        """What changes this setting."""
        kind, _, name = self.origins.get(key, "").partition(" ")
        if kind == "credential":
            return f"{self._credential(name)} && systemctl restart tracker"
        if kind == "environment":
            return "systemctl edit tracker" if self.is_unit else f"export {name}=VALUE"
        if self.file is None:
            return "tracker config example > tracker.toml"
        return f"sudoedit {quote(str(self.file))} && {'systemctl restart tracker' if self.is_unit else 'tracker serve'}"

    def _credential(self, name: str) -> str:
        if name.startswith(_ENCRYPTED):
            place = self.folder / "credentials.encrypted" / name.removeprefix(_ENCRYPTED)
            return f"systemd-creds encrypt --name={quote(name)} - {quote(str(place))}"
        return f"sudoedit {quote(str(self.folder / 'credentials' / name.removeprefix(_PLAIN)))}"
