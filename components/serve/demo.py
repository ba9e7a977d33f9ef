"""The demo page and what it asks for."""

import asyncio
import base64
import hashlib
import heapq
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from components.serve.admission import Admission
from components.serve.batching import Batcher
from components.serve.items import find_items
from components.serve.parameters import ServeParameters
from components.serve.queries import Query, check_similarities, make_query
from components.serve.tensorflow_serving import parse_json

PAGE = Path(__file__).with_name("page.html")
NUM_FOUND = 24  # items that a search shows
NUM_REASONS = 2  # session items that are shown with a recommendation


def find_nearest(similarity: npt.NDArray[np.float32], session: list[str]) -> list[list[tuple[float, str]]]:
    """Finds the items of a session that are nearest to each of other items.

    Args:
        similarity: [num_others, num_items] similarity to each item of the session.
        session: [num_items] ids of the session's items.

    Returns:
        For each of the others, similarity and id of at most NUM_REASONS items with a positive similarity, nearest
        first.
    """
    nearest = (heapq.nlargest(NUM_REASONS, zip(row.tolist(), session, strict=True)) for row in similarity)
    return [[pair for pair in pairs if pair[0] > 0] for pairs in nearest]


class Demo:
    """Serves the page, and searches and recommends for it with titles and reasons.

    Args:
        parameters: the parameters of the server.
        titles: titles of items by their ids.
        admission: what is let in.
        find: returns what answers a request.
    """

    def __init__(
        self,
        parameters: ServeParameters,
        titles: dict[str, str],
        admission: Admission,
        find: Callable[[Request], Batcher],
    ) -> None:
        self._parameters = parameters
        self._titles = titles
        self._title_ids = pa.array(list(titles), pa.string())
        self._title_texts = pa.array(list(titles.values()), pa.string())
        self._admission = admission
        self._find = find
        self._html = PAGE.read_text(encoding="utf-8")
        hashes = {
            tag: " ".join(
                f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
                for text in re.findall(rf"<{tag}>(.*?)</{tag}>", self._html, flags=re.DOTALL)
            )
            for tag in ("script", "style")
        }
        policy = (
            f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._headers = {"content-security-policy": policy, "cache-control": "no-cache"}

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return HTMLResponse(self._html, headers=self._headers)

    async def items(self, request: Request) -> Response:
        """Items whose id or title contains the text of the query `q`."""
        self._find(request)
        async with self._admission.read(request):
            index = self._find(request).index
            text = request.query_params.get("q", "")[:200].strip()
            found = await asyncio.to_thread(
                find_items, index.catalogue, self._title_ids, self._title_texts, text, limit=NUM_FOUND
            )
            return JSONResponse({"items": [self._describe(item_id) for item_id in found], "num_items": index.num_items})

    async def recommend(self, request: Request) -> Response:
        """The best items for a session, each with the items of the session that are most similar to it."""
        self._find(request)
        async with self._admission.read(request) as body:
            document = parse_json(body)
            session = document.get("session")
            values = {"item_ids": [session], "k": document.get("k", 12)}
            if document.get("exclude_seen", True):
                values["exclude_ids"] = [session]
            query = make_query("recommend", values, self._parameters)
            distinct = list(dict.fromkeys(each for each in query.item_ids[0] if each))
            batcher = self._find(request)
            check_similarities(len(distinct) * min(*(query.ks or ()), batcher.index.num_items))
            with batcher.running():
                begin = time.perf_counter()
                ranked = await batcher.rank(query)
                seconds = time.perf_counter() - begin
                found = [pair for pair in zip(ranked.item_ids[0], ranked.scores[0], strict=True) if pair[0]]
                reasons = await self._find_reasons(batcher, distinct, [item_id for item_id, _ in found])
                unknown = await self._find_unknown(batcher, distinct)
            return JSONResponse(
                {
                    "items": [
                        {**self._describe(item_id), "score": score, "because": because}
                        for (item_id, score), because in zip(found, reasons, strict=True)
                    ],
                    "unknown": unknown,
                    "milliseconds": 1_000 * seconds,
                    "version": batcher.index.version,
                }
            )

    async def _find_reasons(self, batcher: Batcher, session: list[str], found: list[str]) -> list[list[dict[str, Any]]]:
        if not session or not found:
            return [[] for _ in found]
        query = Query(signature="similarity", item_ids=[session], ks=None, other_ids=[found])
        similarity = (await batcher.call(query))["similarity"][0]
        return [
            [{**self._describe(item_id), "similarity": each} for each, item_id in nearest]
            for nearest in await batcher.compute(find_nearest, similarity, session)
        ]

    async def _find_unknown(self, batcher: Batcher, session: list[str]) -> list[str]:
        if not session:
            return []
        query = Query(signature="known", item_ids=[session], ks=None, other_ids=[])
        known = (await batcher.call(query))["known"][0].tolist()
        return [item_id for item_id, is_known in zip(session, known, strict=True) if not is_known]

    def _describe(self, item_id: str) -> dict[str, Any]:
        return {"id": item_id, "title": self._titles.get(item_id, "")}
