"""Lists as the contract has them, of whatever resource: bounds, spellings, envelopes, what the SDK reads."""

from typing import Any

import httpx
import mixpeek as official
import pytest

from tests.api import make
from tests.api.make import refused

mixpeek: Any = official
STYLE_A = {
    "alerts": "ListAlertsResponse",
    "retrievers": "ListRetrieversResponse",
    "collections": "ListCollectionsResponse",
    "clusters": "ListClustersResponse",
    "taxonomies": "ListTaxonomiesResponse",
    "namespaces": "ListNamespacesResponse",
}
COUNTED = {"retrievers": "total"}


@pytest.fixture
async def filled(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """Two of everything."""
    for name in ("one", "two"):
        news = await make.collection(api, name)
        await make.retriever(api, name, collection_identifiers=[name])
        await make.alert(api, name, name)
        await make.cluster(api, news["collection_id"], name)
        flat = {
            "taxonomy_type": "flat",
            "retriever_id": name,
            "input_mappings": [{"input_key": "q", "source_type": "payload", "path": "text"}],
            "source_collection": {"collection_id": name},
        }
        await make.made(api, "/v1/taxonomies", {"taxonomy_name": name, "config": flat})
        await make.made(api, "/v1/namespaces", {"namespace_name": f"{name}-space"})
    return api


class Listing:
    """One way to list one kind."""

    def __init__(self, api: httpx.AsyncClient, kind: str, method: str) -> None:
        self.api, self.kind, self.method = api, kind, method
        self.path = f"/v1/{kind}" + ("/list" if method == "POST" else "")

    async def page(self, body: Any = None, **query: Any) -> Any:
        """A page that the SDK's model can read."""
        headers = {"Content-Type": "application/json"}
        answer = await self.api.request(self.method, self.path, params=query, json=body, headers=headers)
        assert answer.status_code == 200, (self.method, self.path, answer.text)
        getattr(mixpeek, STYLE_A[self.kind]).from_dict(answer.json())
        return answer.json()


async def test_lists_of_style_a(filled: httpx.AsyncClient) -> None:
    for kind in STYLE_A:
        count = 3 if kind == "namespaces" else 2
        for method in ("POST", "GET"):
            listing = Listing(filled, kind, method)
            every = await listing.page()
            assert (len(every["results"]), every["pagination"]["next_cursor"]) == (count, None)
            assert every[COUNTED.get(kind, "total_count")] == count
            assert every["pagination"]["total"] is None
            assert set(every["pagination"]) == {
                *("total", "page", "page_size", "total_pages", "next_page", "previous_page", "next_cursor")
            }
            counted = await listing.page(include_total=True, page_size=1)
            assert (counted["pagination"]["total"], counted["pagination"]["total_pages"]) == (count, count)
            second = every["results"][1:2]
            assert (await listing.page(limit=1, after=counted["pagination"]["next_cursor"]))["results"] == second
            assert (await listing.page(page_size=1, page=2))["results"] == second
        if kind != "namespaces":
            # A GET may bring a body; what its query says wins.
            by_body = await Listing(filled, kind, "GET").page({"search": every["results"][0][_name(kind)]})
            assert by_body["results"] == every["results"][:1]
            assert len((await Listing(filled, kind, "GET").page({"search": "?"}, search="o"))["results"]) == 2
        listing = Listing(filled, kind, "POST")
        # What the query says wins over the body; a null is not there; other keys are refused by name.
        uncounted = await listing.page({"include_total": True}, include_total=False)
        assert uncounted["pagination"]["total"] is None
        assert len((await listing.page({"limit": 2, "offset": 1}, limit=1, offset=0))["results"]) == 1
        assert await listing.page({"search": None, "filters": None, "sort": None}) == every
        by_age = {"sort": {"field": "created_at", "direction": "asc"}}
        assert (await listing.page(by_age))["results"] == every["results"][::-1]
        named = await listing.page({"filters": {"name": every["results"][0][_name(kind)].upper()}})
        assert named["results"] == every["results"][:1]
        error = refused(await filled.post(listing.path, json={"colour": 1}), 422, "ValidationError")
        assert make.places(error) == [("extra_forbidden", ["body", "colour"])]
        assert "Accepted keys" in error["message"]


async def test_bounds_and_spellings_of_pages(api: httpx.AsyncClient) -> None:
    for number in range(3):
        await make.collection(api, f"c_{number}")
    for method in ("POST", "GET"):
        listing = Listing(api, "collections", method)
        first = await listing.page(limit=1)
        cursor = first["pagination"]["next_cursor"]
        pages = [(await listing.page(limit=1, **{name: cursor})) for name in ("cursor", "next_cursor", "after")]
        assert pages == [pages[0]] * 3
        assert [item["collection_name"] for item in pages[0]["results"]] == ["c_1"]
        for query in (
            {"limit": 0},
            {"limit": 1001},
            {"offset": 10_001},
            {"offset": -1},
            {"page": 0},
            {"page": 10_002},
        ):
            refused(await api.request(method, listing.path, params=query), 422, "ValidationError")
        refused(await api.request(method, listing.path, params={"cursor": "?"}), 400, "BadRequestError")


def _name(kind: str) -> str:
    return "name" if kind == "alerts" else f"{kind.removesuffix('s').replace('taxonomie', 'taxonomy')}_name"
