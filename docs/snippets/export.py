import csv
import io
import sqlite3
from collections.abc import Iterator

from fastapi import FastAPI

from endwell import ByteStream, Policy

app = FastAPI()
QUERY = """
    WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
    SELECT n, n * n FROM numbers
"""


def rows() -> Iterator[str]:
    """Runs in a thread of its own, from its first step to its close."""
    line = io.StringIO()
    database = sqlite3.connect(":memory:")
    try:
        for row in database.execute(QUERY):
            line.seek(0)
            line.truncate()
            csv.writer(line).writerow(row)
            yield line.getvalue()
    finally:
        database.close()


@app.get("/squares.csv")
async def squares() -> ByteStream:
    return ByteStream(rows(), media_type="text/csv", policy=Policy(send=60))
