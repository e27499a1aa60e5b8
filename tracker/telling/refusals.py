"""What is said to whoever asked for something that cannot be: what is wrong, and what to do instead."""

from tracker.telling.sentences import Template

REFUSED = (
    Template("nobody is signed in"),
    Template("this token is unknown or revoked"),
    Template("this is the secret of another owner; only an admin may make a new one"),
    Template("a token of the scope {scope} may not do this; use one with the scope {wanted_scope}"),
)

ABSENT = (
    Template("there is no task {given}"),
    Template("there is no delivery {given}"),
    Template("there is no endpoint {given}"),
    Template("there is no token {given}"),
)

UNTIMELY = (
    Template("{id} is superseded: a later message says more, and goes in its place"),
    Template("the body of {id} was tidied away (retention.bodies): nothing is left to send"),
    Template("attempt {attempt} of it is under way: {id} goes on by itself"),
    Template(
        "{id} is held, because its endpoint is {state}: "
        "`tracker endpoints enable {endpoint_id}` sends what waits for it"
    ),
)

TOO_OFTEN = (
    Template("at most {count} tests a minute; try again in {seconds} s"),
    Template("at most {count} registrations a minute ({setting}); try again in {seconds} s"),
    Template(
        "an owner's live tasks are limited to {count} ({setting}): there is room for {room}; "
        "wait until some end, or drop some (DELETE /v1/tasks/{{id}}), and try again"
    ),
)

PROBLEMS = (
    Template("is missing"),
    Template("is empty"),
    Template("is too long"),
    Template("is too large"),
    Template("is too small"),
    Template("is not text"),
    Template("is not a known word"),
    Template("is not a whole number"),
    Template("is not a time"),
    Template("is not JSON"),
    Template("is not JSON: {problem}"),
    Template("is nested too deep"),
    Template("is needed, since there is no default upstream"),
    Template("has a control character or half a character"),
    Template("has half a character"),
    Template("has a NUL or half a character"),
    Template("has too many entries"),
    Template("is nothing that can be done here"),
    Template("is none that there is"),
    Template("is not a form"),
    Template("is not a form in UTF-8"),
    Template("is not from the feed"),
    Template("has {count} new tasks, and {reason}"),
    Template("an owner's live tasks are limited to {count} ({setting})"),
    Template("several upstreams know this id"),
    Template("the host is no international domain name"),
    Template("begins or ends with white space"),
    Template("names no condition"),
    Template("needs a callback_url"),
    Template("is not from a page of this list"),
    Template("is over {bytes} bytes"),
    Template("{given} is no event"),
    Template("{given} is not configured"),
    Template("the task has {count} callbacks already"),
    Template("this is no http or https URL"),
    Template("the scheme is not https"),
    Template("port {port} belongs to a service that is not HTTP"),
    Template("port {port} is neither 80, 443 nor above 1023"),
    Template("the port is no number from 1 to 65535"),
    Template("this address may not be called ({rule})"),
    Template("the URL is longer than {characters} characters"),
    Template("the URL has no host"),
    Template("there is a space, a backslash or a control character in the URL"),
    Template("there is a user or a password in the URL"),
    Template("the host cannot be read"),
    Template("the host is neither a name nor an address"),
    Template("the host ends in a number but is no plain IPv4 address"),
    Template("the host is no IPv6 address"),
    Template("the address has a zone"),
)
"""What is wrong with a field, after its name."""

FIXES = (
    Template("send it"),
    Template("send it without"),
    Template("send plain text"),
    Template("send text, in quotes"),
    Template("send digits"),
    Template("send fewer levels"),
    Template("send text that a database can store"),
    Template("send an object, a list, text, a number, true or false"),
    Template("send at least {count} character"),
    Template("send at most {count} characters"),
    Template("send at most {count} at a time"),
    Template("send at most {count} kB"),
    Template("send it as {example}"),
    Template("send fields as a browser does"),
    Template("send the cursor of the last event you have, or `now`"),
    Template("correct it"),
    Template("use its xn-- form"),
    Template("write where to POST the messages"),
    Template("send one like {example}"),
    Template("use some of: {words}"),
    Template("name one of: {words}"),
    Template("use one of: {words}"),
    Template("send one of: {words}"),
    Template("write something like {example}"),
    Template("put it in quotes: {example}"),
    Template("say where to POST the messages, or leave this out"),
    Template("keep the rest at your side, under a key that you put here"),
    Template("let one of them pass it on"),
    Template("write at least one of endpoint, status, since, until"),
    Template("send the next_cursor of the page before"),
    Template("use another port"),
    Template("shorten it"),
    Template("percent-encode it"),
    Template("put a secret into the path or the query"),
    Template("correct it or leave it out"),
    Template("write it as {example}"),
    Template("use letters, digits, hyphens and dots"),
    Template("leave out what follows the percent sign"),
    Template("callbacks.require_https is set: use an https:// URL"),
    Template("use a public address, or have its network opened in callbacks.allow_networks"),
)
"""What to do about it."""

FIELD = Template("{field}: {problem}; {fix}")
ADVICE = Template("{problem}; {fix}")
REFUSALS = (*REFUSED, *ABSENT, *UNTIMELY, *TOO_OFTEN, *PROBLEMS, *FIXES)
