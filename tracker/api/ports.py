"""How a call gets hold of what there is to work with."""

from typing import Annotated, cast

from fastapi import Depends, Request

from tracker.desk import Desk
from tracker.desk import Ports as _Ports


async def ports_of(request: Request) -> _Ports:
    """The ports of the app that serves this request."""
    return cast("_Ports", request.app.state.ports)  # the framework's state has no types


def desk_of(request: Request) -> Desk:
    """The desk of the app that serves this request."""
    return cast("Desk", request.app.state.desk)  # the framework's state has no types


Ports = Annotated[_Ports, Depends(ports_of)]
