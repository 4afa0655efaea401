"""Fetching results."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.futures import Failure
from mint_runtime.wire import codec, errors
from mint_runtime.wire import messages as m

_NOT_YET = {"detail": "the result does not exist yet; ask again", "queue_state": "active"}


async def retrieve_future(call: Call[m.RetrieveFutureRequest]) -> Response:
    """Answer with a result, as soon as it exists.

    Waits up to the server's long-poll time, then answers 408, upon which clients ask again at once.
    A failed operation is a 200 with `error` and `category`: every other status would make clients
    repeat or misread it.
    """
    futures, request_id = call.services.futures, call.body.request_id
    outcome = await futures.wait(request_id, call.services.settings.long_poll_s)
    if outcome is None:
        return JSONResponse(_NOT_YET, status_code=408)
    if isinstance(outcome, Failure):
        body = errors.failure_body(outcome.error, outcome.category)
        return Response(body, media_type=codec.JSON)
    encoded = await futures.body(request_id, call.request.headers.get("accept", codec.JSON))
    return Response(encoded.content, media_type=encoded.media_type)


ENDPOINTS = {"retrieve_future": Endpoint(retrieve_future)}
