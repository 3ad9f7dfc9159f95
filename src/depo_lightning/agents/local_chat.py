"""A Hugging Face model in this process as a `ChatModel`: questions that wait are answered together, as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from depo_lightning.agents.account import Account
from depo_lightning.agents.chat_model import Answer, Messages, Reply, derived_seed
from depo_lightning.agents.usage import Usage, total
from depo_lightning.errors import ConfigError, MachineError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LocalSettings:
    """Which model, and how it samples.

    Attributes:
        model: a directory, or a name on the Hugging Face hub.
        gguf_file: name of the GGUF file there, where the weights are in one.
        revision: commit of a model on the hub; None is the latest.
        dtype: as `from_pretrained` takes it.
        device: such as `cpu` or `cuda`; None is a GPU where there is one.
        batch_size: questions answered at a time.
        temperature: 0 takes the likeliest token.
        top_p: share of the probability that is drawn from.
        max_tokens: of one answer.
    """

    model: str
    gguf_file: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    batch_size: int = 8
    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512


@dataclass(slots=True)
class _Question:
    ids: list[int]
    seed: int
    answer: asyncio.Future[tuple[Answer, Usage]]


class LocalChat:
    """Answers in batches. The noise of an answer depends on its seed alone, not on what shares its batch.

    Raises (`__aenter__`, `ask`):
        ConfigError: the model cannot be loaded, or has no chat template.
        MachineError: not enough memory, or the budget is used up.
    """

    def __init__(self, settings: LocalSettings, account: Account) -> None:
        self.settings, self.account = settings, account

    async def __aenter__(self) -> LocalChat:
        self._load()
        self._waiting: asyncio.Queue[_Question] = asyncio.Queue()
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        del self._model

    async def ask(self, messages: Messages, count: int, seed: int) -> Reply:
        """See `ChatModel.ask`."""
        ids = self._renderer.prompt_ids([dict(message) for message in messages])
        if self._room is not None and len(ids) + self.settings.max_tokens > self._room:
            refusal = (
                f"{len(ids)} tokens and an answer of {self.settings.max_tokens} are more than the {self._room} "
                f"positions of {self.settings.model}"
            )
            self.account.refuse(refusal)
            return Reply((), total(()), refusal)
        loop = asyncio.get_running_loop()
        questions = [_Question(ids, derived_seed(seed, index), loop.create_future()) for index in range(count)]
        for question in questions:
            self.account.check()
            self.account.sent()
            self._waiting.put_nowait(question)
        found = [await question.answer for question in questions]
        usage = total(usage for _, usage in found)
        self.account.answered(usage)
        return Reply(tuple(answer for answer, _ in found), usage)

    def _load(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from depo_lightning.agents.chat import ChatRenderer
        from depo_lightning.models.gguf import load_gguf_tokenizer

        settings = self.settings
        source: dict[str, str] = {"gguf_file": settings.gguf_file} if settings.gguf_file else {}
        if settings.revision is not None:
            source["revision"] = settings.revision
        try:
            if settings.gguf_file:
                tokenizer = load_gguf_tokenizer(self._gguf_path())
            else:
                tokenizer = AutoTokenizer.from_pretrained(settings.model, **source)
            model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype=settings.dtype, **source)
        except (ImportError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{self.account.what}.model={settings.model!r}: cannot be loaded; give a directory with a model, or a "
                f"name on the Hugging Face hub that this machine can reach or has in its cache ({reason})"
            ) from error
        self._device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            self._model = model.to(self._device).eval()
        except torch.OutOfMemoryError:
            raise MachineError(
                f"{self.account.what}: {self._device} has not enough memory for {settings.model}; choose a smaller "
                f"model, {self.account.what}.dtype=bfloat16 or {self.account.what}.device=cpu"
            ) from None
        self._renderer = ChatRenderer(tokenizer)
        self._room: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        own = model.generation_config.eos_token_id
        self._ends = {self._renderer.eot_id, *([own] if isinstance(own, int) else own or [])}

    def _gguf_path(self) -> Path:
        """The GGUF file, fetched from the hub where the model is not a directory."""
        name = self.settings.gguf_file or ""
        if (folder := Path(self.settings.model).expanduser()).is_dir():
            return folder / name
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.settings.model, name, revision=self.settings.revision))

    async def _work(self) -> None:
        """Answer whatever waits, batch by batch."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self.settings.batch_size and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                answers = await asyncio.to_thread(self._generate, batch)
            except Exception as error:
                for question in batch:
                    if not question.answer.done():
                        question.answer.set_exception(self._worded(error))
                continue
            for question, found in zip(batch, answers, strict=True):
                if not question.answer.done():
                    question.answer.set_result(found)

    def _worded(self, error: Exception) -> Exception:
        if type(error).__name__ != "OutOfMemoryError":
            return error
        return MachineError(
            f"{self.account.what}: {self._device} has not enough memory for {self.settings.batch_size} answers; "
            f"lower {self.account.what}.batch_size or .max_tokens"
        )

    def _generate(self, batch: Sequence[_Question]) -> list[tuple[Answer, Usage]]:
        """Answers to a batch of questions, padded on the left."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        from depo_lightning.agents.seeded_sampling import SeededSampling

        width = max(len(question.ids) for question in batch)
        pad = min(self._ends)
        rows = [[pad] * (width - len(question.ids)) + question.ids for question in batch]
        mask = [[0] * (width - len(question.ids)) + [1] * len(question.ids) for question in batch]
        config = GenerationConfig(
            max_new_tokens=self.settings.max_tokens, do_sample=False, eos_token_id=sorted(self._ends), pad_token_id=pad
        )
        sampling = SeededSampling([q.seed for q in batch], self.settings.temperature, self.settings.top_p)
        with torch.inference_mode():
            output: torch.Tensor = self._model.generate(
                input_ids=torch.tensor(rows, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                generation_config=config,
                logits_processor=LogitsProcessorList([sampling]),
            )
        return [self._read(question, row) for question, row in zip(batch, output[:, width:].tolist(), strict=True)]

    def _read(self, question: _Question, row: list[int]) -> tuple[Answer, Usage]:
        length = next((index for index, token in enumerate(row) if token in self._ends), None)
        text = str(self._renderer.tokenizer.decode(row[:length], skip_special_tokens=True))
        written = len(row) if length is None else length + 1
        return Answer(text, complete=length is not None), Usage(1, len(question.ids), written)
