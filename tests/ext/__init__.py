"""The floor `ext`: FastAPI and Starlette applications, called as ASGI applications."""
