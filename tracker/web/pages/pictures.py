"""Whether a page loads pictures: they come from where the upstream keeps them, who then learns who looked, and when."""

from tracker.web.visit import Visit


def are_shown(visit: Visit) -> bool:
    """By the configuration: always, never, or where somebody asked for them in this address."""
    match visit.ports.settings.web.images:
        case "always":
            return True
        case "never":
            return False
        case _:
            return visit.request.query_params.get("images") == "on"


def can_be_asked_for(visit: Visit) -> bool:
    """Whether a page may offer to load them."""
    return visit.ports.settings.web.images == "on_request"
