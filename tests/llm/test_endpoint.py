import asyncio
import json
import time

import pytest

from depo_lightning.agents.account import Prices
from depo_lightning.agents.chat_model import derived_seed
from depo_lightning.agents.pacing import retry_after
from depo_lightning.agents.response import BadResponse, error_text, read_reply
from depo_lightning.errors import ConfigError, MachineError

ASKED = [{"role": "user", "content": "Where to?"}]
COMPLETION = {"choices": [{"message": {"content": "there"}, "finish_reason": "stop"}]}


def echo(body, seed):
    return f"{body['messages'][-1]['content']} {seed}"


def ask(endpoint, count=1, seed=7, times=1):
    async def main():
        async with endpoint:
            return await asyncio.gather(*(endpoint.ask(ASKED, count, seed + index) for index in range(times)))

    return asyncio.run(main())


def ended(reason, content="Thought: so.\nAction: drop\n"):
    """A completion that reads like a turn, whatever ended it."""
    choice = {"message": {"content": content}, "finish_reason": reason}
    return json.dumps({"choices": [choice]})


def texts(reply):
    return [answer.text for answer in reply.answers]


@pytest.mark.parametrize("native_n", [True, False])
def test_answers_are_a_function_of_the_question_and_the_seed(serve, endpoint_of, native_n):
    server = serve(answer=echo)
    first, second = (ask(endpoint_of(server, native_n=native_n), count=3)[0] for _ in range(2))
    assert texts(first) == texts(second)
    assert len(set(texts(first))) == 3
    assert texts(ask(endpoint_of(server, native_n=native_n), count=3, seed=8)[0]) != texts(first)
    asked = [body for body in server.bodies if body["messages"] == ASKED]
    assert [body.get("n", 1) for body in asked] == ([3] * 3 if native_n else [1] * 9)
    assert first.usage.calls == (1 if native_n else 3)


def test_a_server_without_n_is_asked_for_the_missing_answers(serve, endpoint_of):
    server = serve(answer=echo, native_n=False)
    reply = ask(endpoint_of(server, native_n=True), count=3)[0]
    assert len(set(texts(reply))) == 3
    assert texts(reply)[1:] == [f"Where to? {derived_seed(7, index)}" for index in (1, 2)]


def test_what_is_sent(serve, endpoint_of):
    server = serve(answer=echo)
    ask(endpoint_of(server, temperature=0.3, top_p=0.9, max_tokens=5, max_tokens_field="max_completion_tokens"))
    body = server.bodies[-1]
    assert {name: body[name] for name in ("model", "temperature", "top_p", "max_completion_tokens")} == {
        "model": "tiny-teacher", "temperature": 0.3, "top_p": 0.9, "max_completion_tokens": 5
    }  # fmt: skip
    assert "max_tokens" not in body
    ask(endpoint_of(server, temperature=None, send_seed=False, extra_body={"thinking": {"type": "disabled"}}))
    body = server.bodies[-1]
    assert not {"temperature", "top_p", "seed"} & set(body)
    assert body["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((500, "oops", {}), "HTTP 500"),
        ((429, "{}", {"Retry-After": "0.05"}), "HTTP 429"),
        ((200, '{"choices": [{"mess', {}), "malformed JSON"),
        ((200, "<html>", {"Content-Type": "text/html"}), "malformed JSON"),
        ((200, '{"choices": []}', {}), "no choices in the answer"),
        ((200, json.dumps({"choices": [{"message": {"content": ""}}]}), {}), "empty content"),
        ((200, "[" * 100_000, {}), "malformed JSON"),  # too deep to be read
        ((429, "[" * 100_000, {}), "HTTP 429"),
        ((200, ended("stop", "Thought: \ud800\nAction: drop"), {}), "content that is no text"),  # half a character
        ((200, ended("content_filter"), {}), "finish_reason content_filter"),
        ((200, ended("\ud800"), {}), "finish_reason ?"),
        ((200, ended("error"), {}), "finish_reason error"),
        ((200, ended("tool_calls"), {}), "finish_reason tool_calls"),
    ],
)
def test_a_fault_is_met_by_asking_the_same_again(serve, endpoint_of, fault, kind):
    server = serve(answer=echo)
    endpoint = endpoint_of(server)

    async def main():
        async with endpoint:
            server.script.append(fault)
            return await endpoint.ask(ASKED, 1, 7)

    reply = asyncio.run(main())
    assert texts(reply) == [f"Where to? {derived_seed(7, 0)}"]
    assert server.bodies[-1] == server.bodies[-2]
    assert endpoint.account.faults == {kind: 1}
    assert endpoint.account.requests == 3


def test_a_server_that_is_too_slow_or_gone_ends_the_run_after_the_retries(serve, endpoint_of):
    server = serve(answer=echo)
    endpoint = endpoint_of(server, retries=1, timeout_s=0.2)

    async def main():
        async with endpoint:
            server.delay = 0.6
            await endpoint.ask(ASKED, 1, 7)

    with pytest.raises(MachineError, match=r"no answer in 2 attempts, the last: timeout; what is finished is kept"):
        asyncio.run(main())
    assert endpoint.account.faults == {"timeout": 2}


def test_answers_that_stay_empty_are_given_up_not_for_ever_asked_for(serve, endpoint_of):
    endpoint = endpoint_of(serve(answer=lambda body, seed: "  "), retries=10)
    assert texts(ask(endpoint)[0]) == ["  "]
    assert (endpoint.account.empty, endpoint.account.requests) == (1, 6)


def test_a_refused_question_has_no_answer_and_is_not_asked_again(serve, endpoint_of):
    server = serve(answer=echo)
    endpoint = endpoint_of(server)

    async def main():
        async with endpoint:
            server.script.append((400, '{"error": {"message": "too long", "code": "context_length_exceeded"}}', {}))
            return await endpoint.ask(ASKED, 1, 7)

    assert asyncio.run(main()).answers == ()
    assert (endpoint.account.refused, endpoint.account.requests) == (1, 2)
    assert endpoint.account.refusal == "HTTP 400: too long"
    warning = next(line for line in endpoint.account.lines() if line.startswith("WARNING"))
    assert "the last with: HTTP 400: too long; if it is too long: serve the teacher with more context" in warning


def test_concurrency_and_requests_per_minute_hold(serve, endpoint_of):
    server = serve(answer=echo)
    server.delay = 0.02
    ask(endpoint_of(server, concurrency=3), times=12)
    assert server.most_at_once == 3
    server.delay = 0
    started = time.monotonic()
    ask(endpoint_of(server, requests_per_minute=60 * 50), times=10)
    assert time.monotonic() - started >= 10 / 50


def test_tokens_per_minute_hold(serve, endpoint_of):
    endpoint = endpoint_of(serve(answer=lambda body, seed: "word " * 98), tokens_per_minute=60 * 1000, concurrency=1)
    started = time.monotonic()
    ask(endpoint, times=3)  # the probe's 103 tokens and 100 for each question but the last
    assert time.monotonic() - started >= 0.3


def test_the_budget_ends_the_run_and_says_how_to_raise_it(serve, endpoint_of, tmp_path):
    file = tmp_path / "account.json"
    server = serve(answer=echo)
    with pytest.raises(MachineError, match=r"tokens are spent, the budget is 15;.*teacher\.limits\.budget_tokens"):
        ask(endpoint_of(server, budget_tokens=15, file=file, concurrency=1), times=9)
    before = json.loads(file.read_text())
    assert 15 <= before["prompt_tokens"] + before["completion_tokens"] < 20
    with pytest.raises(MachineError, match="budget is 15"):  # also when started anew
        ask(endpoint_of(server, budget_tokens=15, file=file))
    again = endpoint_of(server, budget_tokens=100, file=file)
    ask(again)
    assert again.account.requests == before["requests"] + 2
    priced = {"input": 1e6, "cached_input": 1.0, "output": 2e6}
    endpoint = endpoint_of(server, prices=priced, budget_cost=1.0)
    with pytest.raises(MachineError, match=r"the budget is 1\.0;.*budget_cost"):
        ask(endpoint)
    assert endpoint.account.cost == endpoint.account.usage.prompt_tokens + 2 * endpoint.account.usage.completion_tokens


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, MachineError, ["127.0.0.1:9", "cannot be reached", "start the server"]),
        ({"model": "gpt-9"}, ConfigError, ["no model 'gpt-9'", "it lists: tiny-teacher", "teacher.model"]),
        ({"path": "/v2"}, ConfigError, ["no chat endpoint", "end in /v1"]),
        ({"key": None}, ConfigError, ["refuses a request without a key", "teacher.api_key_env"]),
        (
            {"key": "sk-canary-7", "key_name": "K"},
            ConfigError,
            ["refuses the key in K (HTTP 401: Incorrect API key provided: Bearer ***)"],
        ),
    ],
)
def test_what_can_be_seen_at_the_start_is_one_clear_message(serve, endpoint_of, change, kind, words):
    server = serve(answer=echo, key="right" if "key" in change else None)
    change = dict(change)
    url = server.url.replace("/v1", change.pop("path", "/v1"))
    endpoint = endpoint_of(url, **{"base_url": url, **change})
    with pytest.raises(kind) as caught:
        ask(endpoint)
    for word in words:
        assert word in str(caught.value)
    assert "canary" not in str(caught.value)
    assert len(server.bodies) <= 1


def test_settings_that_the_server_refuses_and_an_empty_purse(serve, endpoint_of):
    server = serve(answer=echo)
    server.script.append((400, '{"error": {"message": "Unsupported parameter: temperature"}}', {}))
    with pytest.raises(ConfigError, match="does not accept the request: HTTP 400: Unsupported parameter"):
        ask(endpoint_of(server))
    server.script.append((403, '{"error": {"message": "Country not supported"}}', {}))
    with pytest.raises(ConfigError, match=r"\(HTTP 403: Country not supported\); set teacher\.api_key_env"):
        ask(endpoint_of(server))
    server.script.append((429, '{"error": {"message": "quota", "code": "insufficient_quota"}}', {}))
    with pytest.raises(MachineError, match="out of credit: quota"):
        ask(endpoint_of(server))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, " <!DOCTYPE html><p>Welcome", {"Content-Type": "text/html"}), "answers with a web page, .* end in /v1"),
        ((405, "Method Not Allowed", {}), "HTTP 405: Method Not Allowed.*end in /v1"),
    ],
)
def test_a_url_that_is_no_api_ends_the_run_at_once(serve, endpoint_of, answer, words):
    server = serve(answer=echo)
    server.script += [answer] * 9
    with pytest.raises(ConfigError, match=words):
        ask(endpoint_of(server))
    assert len(server.bodies) == 1


@pytest.mark.parametrize("body", ["[]", "null", "3", '{"choices": [3]}', '{"choices": [{"message": {"content": 3}}]}'])
def test_json_of_another_shape_is_no_answer(body):
    with pytest.raises(BadResponse):
        read_reply(body)


def test_reading_answers():
    full = {
        **COMPLETION,
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
    }
    usage = read_reply(json.dumps(full)).usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (1, 9, 2, 4)
    assert read_reply(json.dumps(COMPLETION)).answers[0].complete
    cut = {"choices": [{"message": {"content": "the"}, "finish_reason": "length"}]}
    assert not read_reply(json.dumps(cut)).answers[0].complete
    assert all(read_reply(ended(reason)).answers[0].complete for reason in (None, "stop", "eos_token", "STOP"))
    assert error_text('{"detail": "Server is pinned"}') == "Server is pinned"
    assert error_text("a\n  b" * 300) == ("a b" * 300)[:300]


@pytest.mark.parametrize(
    ("told", "estimated"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 0}, False),  # an empty answer
        ({"prompt_tokens": 9, "total_tokens": 700}, True),
        ({"completion_tokens": 9}, True),
        ({"prompt_tokens": "9", "completion_tokens": "2"}, True),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}}, False),
    ],
)
def test_half_a_count_is_none_and_no_usage_costs_less_than_nothing(told, estimated):
    reply = read_reply(json.dumps({**COMPLETION, "usage": told}), ASKED)
    assert reply.estimated is estimated
    assert reply.usage.completion_tokens > 0 or told.get("completion_tokens") == 0
    assert Prices(input=1.0, cached_input=0.0, output=0.0).cost(reply.usage) >= 0


def test_a_key_across_the_cut_is_not_told_in_part():
    key = "sk-canary-0123456789"
    for before in range(270, 310):
        assert "canary" not in error_text(json.dumps({"error": {"message": "x" * before + key}}), key)


def test_a_budget_binds_where_the_server_counts_no_tokens(serve, endpoint_of, tmp_path):
    server = serve(answer=echo)
    silent = json.dumps({"choices": [{"message": {"content": "ja " * 100}, "finish_reason": "stop"}]})
    server.script += [(200, silent, {})] * 9
    endpoint = endpoint_of(server, budget_tokens=250, concurrency=1, file=tmp_path / "account.json")
    with pytest.raises(MachineError, match="the budget is 250"):
        ask(endpoint, times=9)
    assert endpoint.account.estimated == len(server.bodies) == 2
    assert endpoint.account.usage.completion_tokens >= 2 * 100
    assert endpoint.account.usage.prompt_tokens >= 2 * 3
    warning = [line for line in endpoint.account.lines() if "did not count" in line]
    assert len(warning) == 1
    assert endpoint_of(server, file=tmp_path / "account.json").account.estimated == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("-3", 0),
        ("9999", 60),
        ("soon", None),
        (None, None),
        ("nan", None),
        (f"1 Jan {'9' * 20} 00:00", None),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after(header, 60) == seconds


@pytest.mark.parametrize("wish", ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_server_that_wishes_for_no_pause_does_not_use_up_the_attempts(serve, endpoint_of, wish):
    server = serve(answer=echo)
    endpoint = endpoint_of(server, retries=3, backoff_s=0.1)

    async def main():
        async with endpoint:
            server.script += [(429, "{}", {"Retry-After": wish})] * 3
            started = time.monotonic()
            await endpoint.ask(ASKED, 1, 7)
            return time.monotonic() - started

    assert asyncio.run(main()) >= 0.5 * (0.1 + 0.2 + 0.4)  # at least half of each longest pause


def test_retry_after_a_date():
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    then = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < retry_after(format_datetime(then), 60) <= 30
