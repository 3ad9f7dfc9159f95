"""Keyword search with BM25 as Lucene computes it, without a JVM: bm25s holds and scores the postings.

The formula (Lucene 8 and later, `BM25Similarity`), for a query term with f occurrences in a document of length l:

    ln(1 + (N − n + ½) / (n + ½)) · f / (f + k1 · (1 − b + b · l̃ / avg))

N documents, n of them with the term, avg their mean length, l̃ the length as Lucene's one-byte norms keep it: exact
below 40 terms, then four significant bits. Ties are broken by product id, as Anserini's searcher breaks them.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
import numpy as np
from scipy import sparse

from depo_lightning.envs.webshop.analyzer import Analyzer

K1, B = 0.9, 0.4  # Anserini's, and so the reference's
_EXACT_LENGTHS = 24  # up to here a norm is the length itself
_SIGNIFICANT_BITS = 4
_IDS = "ids.npy"
_COMMON = 10  # a term in more than one of so many documents is common
logging.getLogger("bm25s").setLevel(logging.WARNING)  # at its import it asks for debugging messages


class _Corpus(NamedTuple):
    """All documents' terms in a row, as bm25s takes a tokenised corpus."""

    ids: tuple[np.ndarray, np.ndarray]  # term numbers of all documents in a row (T,); terms per document (N,)
    vocab: dict[str, int]


class _Lucene(bm25s.BM25):
    """bm25s with Lucene's lengths; the matrix is built at once instead of document by document."""

    def build_index_from_ids(self, unique_token_ids: Any, corpus_token_ids: Any, **_: Any) -> dict[str, Any]:
        """The scores of all (document, term) pairs, as bm25s keeps them."""
        terms, lengths = corpus_token_ids
        count = len(lengths)
        documents = np.repeat(np.arange(count, dtype=np.int32), lengths)
        shape = (count, len(unique_token_ids))
        matrix = sparse.csc_matrix((np.ones(len(terms), dtype=np.float32), (documents, terms)), shape=shape)
        del documents
        average = max(lengths.sum(), 1) / max(np.count_nonzero(lengths), 1)
        norm = (self.k1 * (1 - self.b + self.b * kept_lengths(lengths) / average)).astype(np.float32)
        holding = np.diff(matrix.indptr)
        idf = np.log1p((np.count_nonzero(lengths) - holding + 0.5) / (holding + 0.5)).astype(np.float32)
        scores = matrix.data
        scores /= scores + norm[matrix.indices]
        scores *= np.repeat(idf, holding)
        self.nonoccurrence_array = None
        return {
            "data": scores,
            "indices": matrix.indices,
            "indptr": matrix.indptr.astype(np.int64),
            "num_docs": count,
        }


class Bm25Searcher:
    """Products by keywords. Build it with `from_texts`, or open a stored one, memory-mapped, with `load`.

    Attributes:
        ids: product ids in the order of the documents, as a NumPy array of strings.
    """

    def __init__(self, engine: bm25s.BM25, ids: np.ndarray) -> None:
        self.ids = ids
        self._engine = engine
        self._analyzer = Analyzer()

    @classmethod
    def from_texts(cls, documents: Iterable[tuple[str, str]]) -> Bm25Searcher:
        """Index (product id, text) pairs; the texts are not kept."""
        analyzer = Analyzer()
        vocab: dict[str, int] = {}
        terms, lengths, ids = array("i"), array("i"), []
        for product, text in documents:
            before = len(terms)
            terms.extend([vocab.setdefault(term, len(vocab)) for term in analyzer.terms(text)])
            lengths.append(len(terms) - before)
            ids.append(product)
        engine = _Lucene(k1=K1, b=B, method="lucene")
        flat = np.frombuffer(terms, dtype=np.int32) if terms else np.zeros(0, np.int32)
        counts = np.frombuffer(lengths, dtype=np.int32) if lengths else np.zeros(0, np.int32)
        engine.index(_Corpus((flat, counts), vocab), create_empty_token=False, show_progress=False)
        return cls(engine, np.array(ids, dtype=np.str_))

    @classmethod
    def load(cls, folder: Path) -> Bm25Searcher:
        """Open a stored index; its arrays stay on the disk until they are read."""
        engine = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        return cls(engine, np.load(folder / _IDS, mmap_mode="r"))

    def save(self, folder: Path) -> None:
        """Write the index to a folder, which is made."""
        self._engine.save(folder, show_progress=False)
        np.save(folder / _IDS, self.ids)

    def search(self, query: str, limit: int) -> list[str]:
        """The best `limit` products that hold a term of `query`, best first; a term said twice counts twice."""
        vocab = self._engine.vocab_dict
        terms = [vocab[term] for term in self._analyzer.terms(query) if term in vocab]
        if not terms or limit < 1:
            return []
        found, scores = self._contenders(terms, limit)
        order = np.lexsort((self.ids[found], -scores))[:limit]
        return [str(name) for name in self.ids[found[order]]]

    def _contenders(self, terms: Sequence[int], limit: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents that hold the best `limit` among them, in ascending order, and their scores.

        Of a million products, most hold words like "color": such terms take long to score and decide little. Documents
        are scored by the other terms first; what the common ones add is looked up where it can still matter.
        """
        common = [term for term in terms if len(self._documents(term)) * _COMMON > len(self.ids)]
        telling = [term for term in terms if term not in common]
        scores = self._engine.get_scores_from_ids(telling)
        most = sum(self._bound(term) for term in common)
        reached = self._reached(telling, scores, limit)
        if reached <= most:  # hardly anything tells: the common terms decide
            scores = self._engine.get_scores_from_ids(terms)
            reached, common, most = self._reached(terms, scores, limit), [], 0.0
        found = np.flatnonzero(scores >= reached - most) if reached > 0 else np.flatnonzero(scores)
        sums = scores[found]
        for term in common:
            sums += self._scores_of(term, found)
        return found, sums

    def _reached(self, terms: Sequence[int], scores: np.ndarray, limit: int) -> float:
        """A score that at least `limit` documents reach: the `limit` best that hold the rarest term; 0 if none is in
        so many documents. A partial sort of all scores would take longer than computing them."""
        postings = [self._documents(term) for term in set(terms)]
        held = min((documents for documents in postings if len(documents) >= limit), key=len, default=None)
        return 0.0 if held is None else float(np.partition(scores[held], -limit)[-limit])

    def _documents(self, term: int) -> np.ndarray:
        """The documents with a term, ascending."""
        ends = self._engine.scores["indptr"]
        return self._engine.scores["indices"][ends[term] : ends[term + 1]]

    def _bound(self, term: int) -> float:
        """More than a term can add to a score: its inverse document frequency."""
        holding = len(self._documents(term))
        return float(np.log1p((len(self.ids) - holding + 0.5) / (holding + 0.5)))

    def _scores_of(self, term: int, documents: np.ndarray) -> np.ndarray:
        """What a term adds to the scores of these documents."""
        ends, held = self._engine.scores["indptr"], self._documents(term)
        places = np.minimum(np.searchsorted(held, documents), len(held) - 1)
        return np.where(held[places] == documents, self._engine.scores["data"][ends[term] + places], 0)


def kept_lengths(lengths: np.ndarray) -> np.ndarray:
    """Lengths after Lucene's one-byte norms (`SmallFloat.intToByte4` and back): rounded down to four bits above 24."""
    beyond = np.maximum(lengths.astype(np.int64) - _EXACT_LENGTHS, 0)
    bits = np.zeros_like(beyond)
    np.log2(beyond, out=(logs := np.zeros(beyond.shape)), where=beyond > 0)
    bits[:] = np.maximum(np.floor(logs).astype(np.int64) + 1 - _SIGNIFICANT_BITS, 0)
    return np.where(lengths < _EXACT_LENGTHS, lengths, _EXACT_LENGTHS + ((beyond >> bits) << bits))
