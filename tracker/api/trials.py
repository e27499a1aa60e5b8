"""Testing a URL before anything depends on it."""

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from tracker.api.answer import Answer
from tracker.api.auth import Writer
from tracker.api.bodies import read_json
from tracker.api.openapi import ONE_TRIAL, answers
from tracker.api.ports import Ports, desk_of
from tracker.api.problems import unusable
from tracker.desk.trying import try_callback
from tracker.intake import TrialRequest, explain
from tracker.telling import TrialAnswer, tell_trial

router = APIRouter(tags=["callbacks"], default_response_class=Answer)
_ANSWERS = answers(TrialAnswer, description="It was tried; whether it worked is in the answer.", fails=(413, 422, 429))


@router.post("/v1/callbacks/test", summary="Send a test to a URL now", openapi_extra=ONE_TRIAL, responses=_ANSWERS)
async def test_callback(request: Request, ports: Ports, caller: Writer) -> Response:
    """Signs `callback.test` with the caller's secret and sends it once. Ten at once, then one in six seconds.

    None is kept.
    """
    try:
        wanted = TrialRequest.model_validate(await read_json(request))
    except ValidationError as error:
        return unusable([explain(found) for found in error.errors(include_url=False, include_input=False)])
    return Answer(tell_trial(await try_callback(ports, desk_of(request), wanted, caller)))
