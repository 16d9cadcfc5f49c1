"""Receives the events of `orders` in a FastAPI app, which needs no SDK for it. It answers OPTIONS with 405."""
import os

import uvicorn
from event import accept
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/orders")
async def orders(request: Request):
    return Response(status_code=200 if accept(await request.body(), dict(request.headers)) else 500)


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
