"""The words that have one meaning everywhere: statuses, states, kinds; a page says each in its language."""


def N_(word: str) -> str:  # noqa: N802 - the name by which catalogues know it
    """Mark a text as one that catalogues translate; it stays as it is."""
    return word


WORDS = frozenset(
    {
        # Of tasks.
        N_("queued"),
        N_("running"),
        N_("needs_input"),
        N_("succeeded"),
        N_("failed"),
        N_("cancelled"),
        N_("lost"),
        N_("expired"),
        N_("dropped"),
        # Of events.
        N_("registered"),
        N_("status"),
        N_("progress"),
        N_("contradiction"),
        N_("delivered"),
        N_("delivery_failed"),
        N_("delivery_dead"),
        # Of deliveries and attempts.
        N_("pending"),
        N_("dead"),
        N_("superseded"),
        N_("sending"),
        N_("interrupted"),
        # What a callback asks for; the names of messages are for programs, and stay.
        N_("ended"),
        # Of endpoints and upstreams.
        N_("active"),
        N_("paused"),
        N_("disabled"),
        N_("failing"),
        N_("ok"),
        N_("unknown"),
        N_("not_configured"),
        # How far an exchange came.
        N_("dns"),
        N_("connect"),
        N_("tls"),
        N_("send"),
        N_("headers"),
        N_("body"),
        # What broke it.
        N_("timeout"),
        N_("refused"),
        N_("reset"),
        N_("unreachable"),
        N_("blocked"),
        N_("protocol"),
        N_("local"),
        N_("internal"),
        # What a token allows.
        N_("read"),
        N_("write"),
        N_("admin"),
    }
)
