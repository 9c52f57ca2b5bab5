"""Collections: records searched together, with an encoder and thresholds of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from samesay.answers import ClassifyResult, CollectionState, KeepQueries, Page, SearchResult
from samesay.calls import KEEP, Call, Keep, Repeat, asking, changed, changing, given, listed, path
from samesay.feedback import Feedback
from samesay.groups import Groups
from samesay.jobs import Job, starting
from samesay.operations import OfCollection, Resource, X, listing, operation
from samesay.paging import pages
from samesay.plans import Items
from samesay.records import Records
from samesay.releases import Releases
from samesay.uploads import Source, pairs_of, upload_of


class Collection(OfCollection[X]):
    """One collection; making this asks the server nothing.

    Args:
        transport: Does what is described.
        name: Its name.

    Attributes:
        records, groups, releases, feedback: What it has.
    """

    def __init__(self, transport: X, name: str) -> None:
        super().__init__(transport, name)
        self.name = name
        self.records: Records[X] = Records(transport, name)
        self.groups: Groups[X] = Groups(transport, name)
        self.releases: Releases[X] = Releases(transport, name)
        self.feedback: Feedback[X] = Feedback(transport, name)

    @operation
    def get(self) -> Call[CollectionState]:
        """How it is."""
        return asking("GET", self._path(), CollectionState)

    @operation
    def change(
        self,
        *,
        description: str | Keep | None = KEEP,
        target_index_recall: float | Keep = KEEP,
        keep_queries: KeepQueries | Keep = KEEP,
        keep_queries_share: float | Keep = KEEP,
        keep_queries_days: int | Keep = KEEP,
        keep_queries_most: int | Keep = KEEP,
        auto_retrain_after: int | Keep | None = KEEP,
        if_match: str | None = None,
    ) -> Call[CollectionState]:
        """Change what is given, keep the rest.

        Args:
            keep_queries: Which queries of `classify` are kept for review.
            keep_queries_share: The share of them that "sampled" keeps.
            keep_queries_days: After so many days a query that was not asked again is deleted.
            keep_queries_most: Different texts that are kept at most.
            auto_retrain_after: Accepted items after which a training is ordered; None for never. Takes the scope train.
        """
        body = changed(
            description=description,
            target_index_recall=target_index_recall,
            keep_queries=keep_queries,
            keep_queries_share=keep_queries_share,
            keep_queries_days=keep_queries_days,
            keep_queries_most=keep_queries_most,
            auto_retrain_after=auto_retrain_after,
        )
        return changing("PATCH", self._path(), CollectionState, body=body, if_match=if_match)

    @operation
    def delete(self, *, if_match: str | None = None) -> Call[None]:
        """Delete it with everything in it."""
        return changing("DELETE", self._path(), None, if_match=if_match)

    @operation
    def search(
        self,
        query: str | Sequence[str],
        *,
        k: int = 10,
        group_by: Literal["group"] | None = None,
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        release: int | None = None,
    ) -> Call[SearchResult]:
        """The k nearest records of one sentence, or of several: a list for each.

        Args:
            query: The sentence, or up to 256.
            group_by: "group": the best record of each group.
            filter: Which records count, by group and metadata.
            min_score: Least cosine.
            release: Another one than the active, if it is kept warm.
        """
        one_or_many = {"query": query} if isinstance(query, str) else {"queries": listed("query", query)}
        more = given(k=k, group_by=group_by, filter=filter, min_score=min_score, release=release)
        return asking("POST", self._path(verb="search"), SearchResult, body=one_or_many | more)

    @operation
    def classify(
        self,
        text: str | Sequence[str],
        *,
        top_n: int = 3,
        prior: Mapping[str, float] | None = None,
        release: int | None = None,
    ) -> Call[ClassifyResult]:
        """Which group one sentence belongs to, or several, or that they belong to none.

        Args:
            text: The sentence, or up to 256.
            top_n: Groups of each answer.
            prior: How often each group is asked for.
            release: Another one than the active, if it is kept warm.
        """
        one_or_many = {"text": text} if isinstance(text, str) else {"texts": listed("text", text)}
        more = given(top_n=top_n, prior=prior, release=release)
        return asking("POST", self._path(verb="classify"), ClassifyResult, body=one_or_many | more)

    @operation
    def import_records(
        self,
        source: Source,
        *,
        content_type: str | None = None,
        columns: Mapping[str, str] | None = None,
        dry_run: bool = False,
        max_rejected: int | None = None,
    ) -> Call[Job[X]]:
        """Upload records: the job that stores them. The same record again changes nothing.

        A file, or a list, is sent again where that is needed; any other iterable can be sent once only.

        Args:
            source: Path of an NDJSON, CSV, TSV, Parquet or XLSX file, plain, .gz or .zst; or records one after the
                other, as mappings or as pieces of a file.
            content_type: What it is, where the file's name does not say so.
            columns: The source's name for some of ours: {"text": "question", "group": "intent"}.
            dry_run: Only say what would be new, changed, unchanged or rejected.
            max_rejected: Rows that may be rejected; with one more the import fails.
        """
        content, headers = upload_of(source, content_type)
        query = {
            "columns": pairs_of(columns) if columns else None,
            "dry_run": "true" if dry_run else None,
            "max_rejected": max_rejected,
        }
        call = changing("POST", self._path("imports"), None, query=query, repeat=Repeat.WITH_KEY)
        call = replace(call, request=replace(call.request.having(headers), content=content))
        return starting(self._transport, call)

    @operation
    def export(self, *, format: Literal["ndjson", "parquet"] = "ndjson", vectors: bool = False) -> Call[Job[X]]:
        """Write all groups and records to a file, as they are at one moment: the job to `wait` for and `download`."""
        return self._starting("exports", given(format=format, vectors=vectors))

    @operation
    def retrain(
        self,
        *,
        recipe: str = "default",
        settings: Mapping[str, Any] | None = None,
        gate: Mapping[str, Any] | None = None,
        promote: Literal["auto", "manual"] = "auto",
        when_busy: Literal["queue", "refuse"] = "queue",
        seed: int = 0,
        why: str = "",
    ) -> Call[Job[X]]:
        """Train a new encoder on the records, judge it, and let it answer: the job that does so.

        It fails with the code "gate_refused", and changes nothing, where the new one is not good enough.

        Args:
            recipe, settings: Of the trainer; `samesay settings` lists them.
            gate: Rules that differ from the defaults.
            promote: "manual": it waits for `releases.promote`.
            when_busy: "refuse": ConflictError while another release of the collection is being made.
            why: Kept with the release's events.
        """
        fields = given(settings=settings, gate=gate)
        rest = {"recipe": recipe, "promote": promote, "when_busy": when_busy, "seed": seed, "why": why}
        return self._starting("trainings", rest | fields)

    @operation
    def compact(self) -> Call[Job[X]]:
        """Fold all changes into a new index now; it happens by itself when there are many."""
        return starting(self._transport, changing("POST", self._path(verb="compact"), None, repeat=Repeat.NEVER))

    @operation
    def rebuild(self) -> Call[Job[X]]:
        """Encode every record anew and build the index from nothing; searches go on meanwhile."""
        return starting(self._transport, changing("POST", self._path(verb="rebuild"), None, repeat=Repeat.NEVER))

    def _starting(self, what: str, body: Mapping[str, Any]) -> Call[Job[X]]:
        return starting(self._transport, changing("POST", self._path(what), None, body=body, repeat=Repeat.WITH_KEY))


class Collections(Resource[X]):
    """All collections."""

    @listing
    def list(self, *, page_size: int = 100) -> Items[CollectionState]:
        """All collections, oldest first."""
        call = asking("GET", path("v1", "collections"), Page[CollectionState], query={"limit": page_size})
        return pages(call, self._transport.retries)

    @operation
    def create(
        self,
        name: str,
        *,
        encoder: str,
        description: str | None = None,
        target_index_recall: float | None = None,
    ) -> Call[CollectionState]:
        """Create a collection; `Collection.change` sets the rest.

        Args:
            name: Small letters, digits, - and _.
            encoder: Registered name or sha256.
            target_index_recall: index_recall@10 that the index is tuned for.
        """
        body = given(name=name, encoder=encoder, description=description, target_index_recall=target_index_recall)
        where = path("v1", "collections")
        return changing("POST", where, CollectionState, body=body, repeat=Repeat.WITH_KEY)
