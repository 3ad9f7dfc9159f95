import json
from dataclasses import replace

import pytest

from depo_lightning.errors import DataError
from depo_lightning.trajectory import (
    Label,
    Source,
    Status,
    Step,
    Trajectory,
    iter_jsonl,
    read_joined,
    read_jsonl,
    to_row,
    with_token_counts,
    write_jsonl,
)

STEPS = (
    Step("a \u2028 line\nand “quotes”", "think", "go", "Thought:\nthink\n\nAction:\ngo", 7, True),
    Step("b", "", "stop", "Action: stop", 4, False),
)
FULL = Trajectory(
    id="e-1-0.2", env="e", task=1, seed=0, system="sys", steps=STEPS, reward=0.5, success=True,
    status=Status.FINISHED, level="easy", label=Label.UNDESIRABLE, source=Source("e-1", (0, 2)), rephrased=True,
    error="", extra={"seconds": 0.25, "tags": ["x"]},
)  # fmt: skip
BARE = Trajectory(
    id="e-2", env="e", task=2, seed=3, system="", steps=(), reward=0.0, success=False,
    status=Status.CRASHED, error="ValueError: x",
)  # fmt: skip


def row(**changes):
    return {**to_row(FULL), **changes}


def without(name):
    return {key: value for key, value in row().items() if key != name}


def with_step(**changes):
    return row(steps=[{**row()["steps"][0], **changes}])


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "file.jsonl"
    assert write_jsonl(path, [FULL, BARE]) == 2
    assert read_jsonl(path) == [FULL, BARE]
    assert [p.name for p in path.parent.iterdir()] == ["file.jsonl"]
    stored = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert (stored["schema"], stored["T_step"], stored["T_token"]) == (1, 2, 5.5)


def test_blank_lines_and_defaults(tmp_path):
    path = tmp_path / "f.jsonl"
    least = {k: row()[k] for k in ("schema", "id", "env", "task", "seed", "system", "reward", "success")}
    least["steps"] = [{"observation": "o", "thought": "t", "action": "a", "text": "x"}]
    path.write_text("\n" + json.dumps(least) + "\n\n")
    (read,) = read_jsonl(path)
    assert (read.label, read.source, read.status, read.steps[0].tokens) == (None, None, Status.FINISHED, 0)


def test_counts_and_messages():
    counted = with_token_counts(FULL, [10, 20])
    assert (counted.t_step, counted.agent_tokens, counted.t_token) == (2, 30, 15.0)
    assert (BARE.t_token, BARE.messages()) == (0.0, [])
    with pytest.raises(ValueError, match="shorter"):
        with_token_counts(FULL, [10])
    roles = [message["role"] for message in FULL.messages()]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    assert FULL.messages(1) == FULL.messages()[:4]
    assert FULL.messages(0)[-1] == {"role": "user", "content": STEPS[0].observation}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "expected a JSON object, found list"),
        (json.dumps(row(schema=2)), "field 'schema' is 2; this version reads schema 1"),
        (json.dumps(without("schema")), "field 'schema' is None"),
        *[
            (json.dumps(without(name)), f"field '{name}' is missing")
            for name in ("id", "env", "task", "seed", "system", "steps", "reward", "success")
        ],
        (json.dumps(row(colour="red")), "field 'colour' is unknown"),
        (json.dumps(row(task="7")), "field 'task' is '7'; expected int"),
        (json.dumps(row(seed=True)), "field 'seed' is True; expected int"),
        (json.dumps(row(success=1)), "field 'success' is 1; expected bool"),
        (json.dumps(row(reward=1.5)), "field 'reward' is 1.5; expected a number in [0, 1]"),
        (json.dumps(row(reward="high")), "field 'reward' is 'high'; expected int or float"),
        (json.dumps(row(label="good")), "field 'label' is 'good'"),
        (json.dumps(row(status="done")), "field 'status' is 'done'"),
        (json.dumps(row(source="tree")), "field 'source' is 'tree'"),
        (json.dumps(row(source={"path": [1]})), "field 'source'"),
        (json.dumps(row(source={"tree": "t", "path": 5})), "field 'source'"),
        (json.dumps(row(source={"tree": "t", "path": ["x"]})), "field 'source'"),
        (json.dumps(row(steps={})), "field 'steps' is {}; expected list"),
        (json.dumps(row(steps=["go"])), "steps[0] is str; expected an object"),
        (json.dumps(with_step(mood="x")), "steps[0].mood is unknown"),
        (json.dumps(with_step(tokens=-1)), "steps[0].tokens is -1; expected 0 or more"),
        (json.dumps(with_step(tokens=1.5)), "steps[0].tokens is 1.5; expected int"),
        (json.dumps(with_step(valid=1)), "steps[0].valid is 1; expected bool"),
        (json.dumps(with_step(action=None)), "steps[0].action is None; expected str"),
        (json.dumps(row(steps=[{"observation": "o"}])), "steps[0].thought is missing"),
        ('{"a": ' + "7" * 5000 + "}", "cannot be read: Exceeds the limit"),
        ("[" * 100_000, "cannot be read: maximum recursion depth"),
    ],
)
def test_every_kind_of_corrupt_line_is_named(tmp_path, line, says):
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(to_row(BARE)) + "\n" + line + "\n")
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    assert len(caught.value.faults) >= 1
    assert all(fault.startswith(f"{path}:2: ") for fault in caught.value.faults)
    assert any(says in fault for fault in caught.value.faults)


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(json.dumps(to_row(BARE)).encode() + b"\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"f\.jsonl:2: not UTF-8 at byte 0"):
        read_jsonl(path)


def test_half_a_character_is_replaced(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(with_step(text="half \ud83d of \U0001f600")) + "\n")
    assert read_jsonl(path)[0].steps[0].text == "half \ufffd of \U0001f600"
    path.write_text(json.dumps(with_step(text="\U0001f600 é")) + "\n")
    assert read_jsonl(path)[0].steps[0].text == "\U0001f600 é"


def test_a_repeated_id(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text((json.dumps(row()) + "\n") * 2)
    with pytest.raises(DataError, match=r"f\.jsonl:2: id 'e-1-0\.2' already stands on line 1"):
        read_jsonl(path)


def test_all_faults_at_once_up_to_twenty(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("nonsense\n" * 25)
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1] == "… and 5 more faults"


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"absent\.jsonl: cannot be read"):
        read_jsonl(tmp_path / "absent.jsonl")


def test_lines_are_read_one_at_a_time_up_to_the_first_fault(tmp_path):
    path = tmp_path / "f.jsonl"
    good = [replace(BARE, id=f"e-{number}") for number in range(4)]
    lines = [json.dumps(to_row(item)) for item in good]
    path.write_text("\n".join([*lines[:2], "nonsense", lines[2], "{}", lines[3]]))
    found = []
    with pytest.raises(DataError) as caught:
        found.extend(iter_jsonl(path))
    assert found == good[:2]
    assert len(caught.value.faults) == 2  # those behind the first are told as well


def test_an_outline_keeps_the_counts_and_no_text():
    outline = FULL.outline()
    assert (outline.agent_tokens, outline.t_step, outline.t_token) == (11, 2, 5.5)
    assert [(step.tokens, step.valid) for step in outline.steps] == [(7, True), (4, False)]
    kept = ("id", "env", "task", "seed", "reward", "success", "status", "level", "label", "source", "rephrased")
    assert all(getattr(outline, name) == getattr(FULL, name) for name in kept)
    assert len(json.dumps(to_row(outline))) < len(json.dumps(to_row(FULL)))
    assert not any((outline.system, outline.error, outline.extra))


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "f.jsonl"
    write_jsonl(path, [FULL])

    def dying():
        yield BARE
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_jsonl(path, dying())
    assert read_jsonl(path) == [FULL]
    assert [p.name for p in tmp_path.iterdir()] == ["f.jsonl"]


def test_files_are_joined_in_order_and_every_file_is_checked(tmp_path):
    one, two = (tmp_path / name for name in ("one.jsonl", "two.jsonl"))
    write_jsonl(one, [FULL])
    write_jsonl(two, [BARE])
    assert read_joined([two, one]) == [BARE, FULL]
    assert read_joined([]) == []
    one.write_text("{}\n")
    with pytest.raises(DataError) as caught:
        read_joined([one, two, tmp_path / "none.jsonl"])
    assert len(caught.value.faults) == 2
    assert "none.jsonl: cannot be read" in str(caught.value)


def test_episodes_of_two_searches_may_have_the_same_id(tmp_path):
    other = replace(FULL, seed=1, steps=STEPS[:1])
    files = [tmp_path / f"{number}.jsonl" for number in (1, 2, 3)]
    for file, found in zip(files, ([FULL], [other, BARE], [replace(FULL, id=f"2/{FULL.id}"), BARE]), strict=True):
        write_jsonl(file, found)
    assert read_joined(files[:2]) == [FULL, replace(other, id=f"2/{FULL.id}"), BARE]
    assert read_joined([files[0], files[0]]) == [FULL]
    assert [item.id for item in read_joined(files)] == [FULL.id, f"2/{FULL.id}", BARE.id, f"3/2/{FULL.id}"]
