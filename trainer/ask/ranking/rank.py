"""Ranking: the passages that answer a question best, from several sources, and why each source is where it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.contract.ask import Source
from trainer.ask.ranking.authority import is_official, is_own_site, referred_to
from trainer.ask.ranking.bm25 import BM25Index, Scores
from trainer.ask.ranking.dedupe import are_near_duplicates, merge_copies, shingles
from trainer.ask.ranking.fusion import reciprocal_rank_fusion
from trainer.ask.ranking.passages import TextPassage, split_passages
from trainer.ask.ranking.sentence_likeness import sentence_likeness
from trainer.ask.ranking.soft_coverage import soft_coverage
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.ranking.staleness import last_changed, mark_stale
from trainer.ask.ranking.vectors import static_embedder
from trainer.ask.retrieval import Passage

EMBEDDED_MAX = 400  # passages of a question, the best by BM25: embedding all of a large collection takes seconds
RELEVANCE_MIN = 0.15  # of a passage that is given on
COMPARABLE = 0.5  # of the best relevance: sources that answer the same question
SAME_SOURCE_FACTOR = 0.9  # for each passage that its source has already: several sources are preferred to one
STALE_FACTOR, SNIPPET_FACTOR = 0.8, 0.85
OWN_SITE_FACTOR, OFFICIAL_FACTOR, REFERRED_FACTOR, NEWEST_FACTOR = 1.08, 1.04, 1.06, 1.02


@dataclass(frozen=True)
class _Scored:
    """All passages of all sources, with their scores; row k of each is one passage."""

    passages: list[tuple[SourceText, TextPassage]]
    fused: Scores
    relevance: Scores  # mean of coverage of the question and likeness of the best sentence, 0…1


def rank(question: str, texts: Sequence[SourceText], passages_max: int) -> tuple[list[Source], list[Passage]]:
    """Sources by their best passages, and the passages, best first; copies are merged, stale sources are marked."""
    originals = merge_copies(texts)
    scored = _score(question, originals)
    if not scored.passages:
        return [], []
    marked = {t.source.id: t for t in mark_stale(question, originals, _best_passages(scored))}
    factors, reasons = _features(question, list(marked.values()))
    chosen = _choose(scored, factors, passages_max)
    order = dict.fromkeys(passage.source_id for passage in chosen)
    sources = [
        marked[id_].source.model_copy(update={"reason": _reason(place, reasons[id_])})
        for place, id_ in enumerate(order)
    ]
    return sources, chosen


def _score(question: str, texts: Sequence[SourceText]) -> _Scored:
    passages = [(text, passage) for text in texts for passage in split_passages(text.text)]
    if not passages:
        return _Scored([], np.zeros(0, np.float32), np.zeros(0, np.float32))
    titles = [text.source.title for text, _ in passages]
    bodies = [f"{passage.heading}\n{passage.text}" for _, passage in passages]
    index, embedder = BM25Index(titles, bodies), static_embedder()
    matches = index.scores(question)
    near = np.argsort(-matches, kind="stable")[:EMBEDDED_MAX]
    near_titles, near_bodies = [titles[row] for row in near], [bodies[row] for row in near]
    coverage, likeness = np.zeros_like(matches), np.zeros_like(matches)
    coverage[near] = soft_coverage(question, near_titles, near_bodies, index, embedder)
    likeness[near] = sentence_likeness(question, near_titles, near_bodies, embedder)
    fused = reciprocal_rank_fusion([matches, coverage, likeness])
    relevance = (coverage + likeness) / 2
    return _Scored(passages, fused, np.asarray(relevance, np.float32))


def _best_passages(scored: _Scored) -> dict[str, str]:
    """The best passage of each source that answers about as well as the best one does."""
    best: dict[str, int] = {}
    for row, (text, _) in enumerate(scored.passages):
        id_ = text.source.id
        if id_ not in best or scored.relevance[row] > scored.relevance[best[id_]]:
            best[id_] = row
    least = COMPARABLE * float(scored.relevance.max())
    return {id_: scored.passages[row][1].text for id_, row in best.items() if scored.relevance[row] >= least}


def _features(question: str, texts: Sequence[SourceText]) -> tuple[dict[str, float], dict[str, list[str]]]:
    """What beside its text speaks for or against each source: a factor, and the same in words."""
    newest = max(filter(None, map(last_changed, texts)), default=None)
    factors, reasons = {}, {}
    for text in texts:
        source = text.source
        features = (
            (
                source.kind == "web" and is_own_site(question, source.url),
                OWN_SITE_FACTOR,
                "the site of what is asked about",
            ),
            (is_official(source.url), OFFICIAL_FACTOR, "an official site"),
            (bool(referred_to(text, texts)), REFERRED_FACTOR, "other sources refer to it"),
            (bool(source.copies), 1.0, "the original of several copies"),
            (newest is not None and last_changed(text) == newest and len(texts) > 1, NEWEST_FACTOR, "the newest"),
            (source.stale, STALE_FACTOR, "out of date"),
            (source.snippet_only, SNIPPET_FACTOR, "only the search engine's extract could be read"),
        )
        factors[source.id] = float(np.prod([factor for holds, factor, _ in features if holds]))
        reasons[source.id] = [words for holds, _, words in features if holds]
    return factors, reasons


def _choose(scored: _Scored, factors: dict[str, float], passages_max: int) -> list[Passage]:
    """Passages one after the other, each the best of those that are left (greedy, as in maximal marginal relevance)."""
    base = scored.fused * np.array([factors[text.source.id] for text, _ in scored.passages], np.float32)
    left = [row for row in np.argsort(-base, kind="stable") if scored.relevance[row] >= RELEVANCE_MIN]
    chosen: list[Passage] = []
    seen: list[frozenset[int]] = []
    counts: dict[str, int] = {}
    while left and len(chosen) < passages_max:
        row = max(left, key=lambda r: base[r] * SAME_SOURCE_FACTOR ** counts.get(scored.passages[r][0].source.id, 0))
        left.remove(row)
        text, passage = scored.passages[row]
        own = shingles(passage.text)
        if any(are_near_duplicates(own, other, 0.9) for other in seen):
            continue
        seen.append(own)
        counts[text.source.id] = counts.get(text.source.id, 0) + 1
        chosen.append(Passage(text.source.id, passage.text, round(float(scored.relevance[row]), 4), passage.position))
    return chosen


def _reason(place: int, features: list[str]) -> str:
    first = "fits the question best" if place == 0 else "fits the question"
    return "; ".join([first, *features])
