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
        scores = self._engine.get_scores_from_ids(terms)
        found = self._contenders(terms, scores, limit)
        order = np.lexsort((self.ids[found], -scores[found]))[:limit]
        return [str(name) for name in self.ids[found[order]]]

    def _contenders(self, terms: Sequence[int], scores: np.ndarray, limit: int) -> np.ndarray:
        """Documents that hold the best `limit` among them: those that score no less than the best with a rare term.

        A partial sort of a million scores would take longer than computing them.
        """
        indices, ends = self._engine.scores["indices"], self._engine.scores["indptr"]
        postings = sorted((indices[ends[term] : ends[term + 1]] for term in set(terms)), key=len)
        for documents in postings:
            if len(documents) >= limit:
                return np.flatnonzero(scores >= np.partition(scores[documents], -limit)[-limit])
        return np.unique(np.concatenate(postings))


def kept_lengths(lengths: np.ndarray) -> np.ndarray:
    """Lengths after Lucene's one-byte norms (`SmallFloat.intToByte4` and back): rounded down to four bits above 24."""
    beyond = np.maximum(lengths.astype(np.int64) - _EXACT_LENGTHS, 0)
    bits = np.zeros_like(beyond)
    np.log2(beyond, out=(logs := np.zeros(beyond.shape)), where=beyond > 0)
    bits[:] = np.maximum(np.floor(logs).astype(np.int64) + 1 - _SIGNIFICANT_BITS, 0)
    return np.where(lengths < _EXACT_LENGTHS, lengths, _EXACT_LENGTHS + ((beyond >> bits) << bits))
