"""Sessions: opened by a client at its start, kept by its heartbeat."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from mint_runtime.errors import NotFound
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.records import SessionRecord
from mint_runtime.service.sessions import new_session_id
from mint_runtime.wire import messages as m


async def create_session(call: Call[m.CreateSessionRequest]) -> Response:
    """Open a session."""
    body = call.body
    session = SessionRecord(
        session_id=new_session_id(),
        created=time.time(),
        user_metadata=body.user_metadata or {},
        tags=body.tags,
        project_id=body.project_id,
        sdk_version=body.sdk_version,
        display_name=body.display_name,
    )
    await call.services.sessions.add(session)
    return JSONResponse({"session_id": session.session_id, "type": "create_session"})


async def session_heartbeat(call: Call[m.SessionHeartbeatRequest]) -> Response:
    """Note that a client lives. 404 when its session was never opened here."""
    await call.services.sessions.require(call.body.session_id)
    return JSONResponse({"type": "session_heartbeat"})


async def finish_session(call: Call[None]) -> Response:
    """Drop the adapters of a client that says it is done. Its checkpoints stay."""
    call.services.sessions.close(call.path("session_id"))
    return Response(status_code=204)


async def get_session(call: Call[None]) -> Response:
    """List the models and samplers of a session."""
    store = call.services.store
    session_id = call.path("session_id")

    def read() -> dict[str, Any]:
        session = store.find_session(session_id)
        if session is None:
            raise NotFound(f"session `{session_id}` is not known to this server")
        return {
            "training_run_ids": store.models_of_session(session_id),
            "sampler_ids": store.samplers_of_session(session_id),
            "user_metadata": dict(session.user_metadata) or None,
            "display_name": session.display_name,
        }

    return JSONResponse(await asyncio.to_thread(read))


async def list_sessions(call: Call[None]) -> Response:
    """List session ids, newest first."""
    sessions = await asyncio.to_thread(call.services.store.list_sessions, *call.page(20))
    return JSONResponse({"sessions": sessions})


async def set_session_project(call: Call[m.SetProjectRequest]) -> Response:
    """Move a session into a project."""
    session_id = call.path("session_id")
    await call.services.sessions.require(session_id)
    await asyncio.to_thread(
        call.services.store.set_session_project, session_id, call.body.project_id
    )
    return Response(status_code=204)


ENDPOINTS = {
    "create_session": Endpoint(create_session),
    "session_heartbeat": Endpoint(session_heartbeat),
    "finish_session": Endpoint(finish_session),
    "get_session": Endpoint(get_session),
    "list_sessions": Endpoint(list_sessions),
    "set_session_project": Endpoint(set_session_project),
}
