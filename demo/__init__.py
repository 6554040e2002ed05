"""The demonstration: three real streams, and what the server knows of how each one ended.

demo/__main__.py    `python -m demo`: builds the database, finds a port, serves
demo/app.py         the FastAPI application: /chat, /export.ndjson, /feed, and /observe for the panel
demo/model.py       the language model: our own second process, or a real one by OPENAI_BASE_URL
demo/upstream.py    that second process: OpenAI's streaming protocol, and a witness of its connections
demo/prose.py       what it says: the Python reference that ships with Python
demo/characters.py  the SQLite database of every Unicode character
demo/machine.py     this machine's processor and memory
demo/ledger.py      the endings, with the demo's own clock readings beside them
"""
