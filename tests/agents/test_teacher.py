import asyncio
from collections import Counter

import pytest

from depo_lightning.agents.babyai_policy import Why, best_move, current_task
from depo_lightning.agents.babyai_text import Target, Task, Thing, read_goal, read_situation
from depo_lightning.agents.react import format_turn, parse_turn
from depo_lightning.agents.teacher import ScriptedTeacher
from depo_lightning.agents.wording import is_verbose
from depo_lightning.envs import Split, make
from depo_lightning.errors import ConfigError

SURE = ScriptedTeacher(noise=0, detour=0)
MOVES = ("turn left", "turn right", "move forward", "check available actions")
KEY = "There is a grey key 1 right in front of you 3 steps away.  "
BALL = "There is a red ball 1 2 steps in front of you and 3 steps to your left.  "
DOOR = "There is a blue closed door 1 0 steps in front of you and 4 steps to your right.  "


def see(*things, actions=(), facing="You are facing a wall 5 steps away. ", load="You are not carrying anything."):
    """A descriptive observation, as the protocol words it."""
    listed = ", ".join(f'"{action}"' for action in (*MOVES[:3], *actions, MOVES[3]))
    scene = "In front of you in this room, you can see several objects: " + "".join(things)
    return f"{scene}The room has walls around you. {facing}{load}\nAvailable actions: [{listed}]"


def chat(goal, first, *later):
    """Messages from a goal, an observation, and then actions and observations in turn."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": f"Your goal: {goal}\n{first}"}]
    for index, text in enumerate(later):
        role, content = ("assistant", format_turn("so", text)) if index % 2 == 0 else ("user", text)
        messages.append({"role": role, "content": content})
    return messages


def move(*args):
    return best_move(read_situation(chat(*args)))


def propose(messages, k=1, seed=0, teacher=SURE):
    return asyncio.run(teacher.propose(messages, k, seed))


def test_reading_an_observation():
    situation = read_situation(chat("go to the red ball", see(KEY, BALL, DOOR, actions=["go to red ball 1"])))
    assert situation.view.things == (
        Thing("grey key", 1, ahead=3, right=0), Thing("red ball", 1, 2, -3), Thing("blue closed door", 1, 0, 4)
    )  # fmt: skip
    assert [thing.where for thing in situation.view.things] == ["ahead", "on your left", "on your right"]
    assert situation.view.facing == 5
    assert situation.view.carrying == ""
    assert situation.actions == (*MOVES[:3], "go to red ball 1", MOVES[3])


def test_a_refusal_keeps_the_last_view_and_marks_the_action_futile():
    refusal = 'You cannot go to red ball 1, as there is no path leading to it.\nAvailable actions: ["turn left"]'
    first = see(BALL, load="You are carrying a green box.")
    situation = read_situation(chat("go to the red ball", first, "go to red ball 1", refusal))
    assert situation.view.things[0].name == "red ball"
    assert situation.view.carrying == "green box"
    assert situation.actions == ("turn left",)
    assert situation.futile == {"go to red ball 1"}
    assert situation.past == ("go to red ball 1",)


@pytest.mark.parametrize(
    ("goal", "tasks"),
    [
        ("go to a red ball", [Task("go to", Target("red", "ball"))]),
        ("pick up the box on your left", [Task("pick up", Target("", "box", "left"))]),
        ("open the blue door behind you", [Task("open", Target("blue", "door", "behind"))]),
        ("open a door in front of you", [Task("open", Target("", "door", "front"))]),
        ("put a ball next to the grey key", [Task("put", Target("", "ball"), Target("grey", "key"))]),
        (
            "pick up an object, and go to the red door",
            [Task("pick up", Target("", "object")), Task("go to", Target("red", "door"))],
        ),
        ("dance", []),
    ],
)
def test_reading_goals(goal, tasks):
    assert list(read_goal(goal)) == tasks


def test_every_goal_of_every_level_is_understood():
    env = make("babyai")
    for task in range(40):
        goal = env.reset(task).split("\n")[0]
        assert read_goal(goal), goal


@pytest.mark.parametrize(
    ("goal", "first", "expected"),
    [
        ("go to the red ball", see(KEY, BALL, actions=["go to red ball 1", "go to grey key 1"]), "go to red ball 1"),
        ("pick up the grey key", see(KEY, BALL, actions=["pickup grey key 1"]), "pickup grey key 1"),
        ("open a door", see(DOOR, actions=["toggle and go through blue closed door 1"]),
         "toggle and go through blue closed door 1"),
        ("go to the red ball", see(KEY, actions=["go to grey key 1"]), "turn right"),
        ("open the door on your left", see(DOOR, actions=["toggle and go through blue closed door 1"]), "turn left"),
        ("pick up the red ball", see(BALL, actions=["drop"], load="You are carrying a grey key."), "drop"),
        ("go to the grey key", see(actions=["drop"], load="You are carrying a grey key."), "drop"),
        ("go to the grey key",
         see("There is a grey key 1 right in front of you 1 steps away.  ", actions=["go to grey key 1"]),
         "turn right"),
    ],
)  # fmt: skip
def test_first_moves(goal, first, expected):
    assert move(goal, first).action == expected


def test_search_turns_round_once_then_leaves_by_a_door():
    empty, door = see(), see(DOOR, actions=["toggle and go through blue closed door 1"])
    turns = ["turn right", empty] * 2
    assert move("go to the red ball", empty, *turns).action == "turn right"
    found = move("go to the red ball", empty, *turns, "turn right", door)
    assert (found.action, found.why) == ("toggle and go through blue closed door 1", Why.DOOR)
    inside = [*turns, "turn right", door, found.action, see(KEY)]
    assert move("go to the red ball", empty, *inside).action == "move forward"
    assert move("go to the red ball", empty, *inside, "move forward", see(BALL)).action == "turn right"


def test_search_goes_to_the_farthest_object_else_walks_three_steps():
    far = see(KEY, BALL, actions=["go to grey key 1", "go to red ball 1"])
    turns = ["turn right", see()] * 2
    assert move("go to the box", see(), *turns, "turn right", far).action == "go to red ball 1"
    tail = [*turns, "turn right", see()]
    for step in range(3):
        assert move("go to the box", see(), *tail).action == "move forward"
        tail += ["move forward", see(facing=f"You are facing a wall {9 - step} steps away. ")]
    assert move("go to the box", see(), *tail).action == "turn right"


def test_a_sequence_is_worked_off_in_order():
    goal = "go to the grey key, and pick up the red ball"
    first = see(KEY, BALL, actions=["go to grey key 1", "pickup red ball 1"])
    assert move(goal, first).action == "go to grey key 1"
    later = [see(BALL, actions=["pickup red ball 1"])]
    assert move(goal, first, "go to grey key 1", *later).action == "pickup red ball 1"
    done = read_situation(chat(goal, first, "go to grey key 1", *later))
    assert current_task(done).verb == "pick up"


def test_put_next_to_drops_beside_the_neighbour():
    load = "You are carrying a red ball."
    beside = "There is a grey key 1 1 steps in front of you and 1 steps to your right.  "
    two_ahead = "There is a grey key 1 right in front of you 2 steps away.  "
    for place in (beside, two_ahead):
        assert move("put the red ball next to the grey key", see(place, actions=["drop"], load=load)).action == "drop"
    assert move("put the red ball next to the grey key", see(KEY, load=load)).action == "move forward"


def test_proposals_are_distinct_deterministic_and_well_formed():
    messages = chat("go to the red ball", see(KEY, BALL, actions=["go to red ball 1", "go to grey key 1"]))
    teacher = ScriptedTeacher()
    for seed in range(30):
        texts = propose(messages, 3, seed, teacher)
        assert len(set(texts)) == len(texts) == 3
        assert texts == propose(messages, 3, seed, ScriptedTeacher())
        turns = [parse_turn(text) for text in texts]
        assert [format_turn(turn.thought, turn.action) for turn in turns] == texts
    assert len({tuple(propose(messages, 3, seed, teacher)) for seed in range(30)}) > 20


def test_the_conversation_is_left_alone():
    messages = chat("go to the red ball", see(BALL, actions=["go to red ball 1"]))
    before = [dict(message) for message in messages]
    propose(messages, 3)
    assert messages == before


@pytest.mark.parametrize(("name", "value"), [("noise", 0.3), ("detour", 0.4)])
def test_shares_of_imperfect_moves(name, value):
    """600 draws: a share is off its probability by more than .07 once in 4000 seeds at most."""
    messages = chat("go to the red ball", see(KEY, BALL, actions=["go to red ball 1", "go to grey key 1"]))
    teacher = ScriptedTeacher(**{"noise": 0, "detour": 0, name: value})
    chosen = Counter(parse_turn(propose(messages, 1, seed, teacher)[0]).action for seed in range(600))
    imperfect = 1 - chosen["go to red ball 1"] / 600
    on_target = value / 6 if name == "noise" else 0.0  # a random action is the best one now and then
    assert imperfect == pytest.approx(value - on_target, abs=0.07)
    if name == "detour":
        assert set(chosen) == {"turn left", "turn right", "move forward", "go to grey key 1", "go to red ball 1"}


def test_styles_differ_in_length_and_persist_along_a_branch():
    first = see(KEY, BALL, actions=["go to red ball 1"])
    messages = chat("go to the red ball", first)

    def verbose_share(messages, **settings):
        teacher = ScriptedTeacher(noise=0, detour=0, **settings)
        return sum(is_verbose(parse_turn(propose(messages, 1, s, teacher)[0]).thought) for s in range(300)) / 300

    assert verbose_share(messages, verbosity=0.3) == pytest.approx(0.3, abs=0.1)
    assert verbose_share(messages, verbosity=0.0) == 0.0
    terse, verbose = (
        [
            *messages,
            {"role": "assistant", "content": format_turn(thought, "turn left")},
            {"role": "user", "content": first},
        ]
        for thought in ("I turn left.", "My goal is far away. " * 5)
    )
    assert verbose_share(terse, style_persistence=1.0) == 0.0
    assert verbose_share(verbose, style_persistence=1.0) == 1.0
    assert verbose_share(terse, style_persistence=0.6, verbosity=0.5) == pytest.approx(0.2, abs=0.1)
    for verbosity, low, high in ((0.0, 4, 9), (1.0, 20, 44)):
        text = propose(messages, 1, 0, ScriptedTeacher(noise=0, detour=0, verbosity=verbosity))[0]
        assert low <= len(parse_turn(text).thought.split()) <= high
        assert "red ball 1" in parse_turn(text).thought


def test_probabilities_are_checked():
    with pytest.raises(ConfigError) as caught:
        ScriptedTeacher(noise=-0.1, verbosity=1.5)
    assert [fault.split("=")[0] for fault in caught.value.faults] == ["teacher.noise", "teacher.verbosity"]
    with pytest.raises(ConfigError, match=r"noise \+ teacher\.detour"):
        ScriptedTeacher(noise=0.7, detour=0.7)


LEVELS = ["GoToRedBallGrey", "GoToRedBall", "GoToObjS6", "GoToLocalS8N7", "OpenRedDoor", "GoToDoor"]
MORE = ["GoToRedBlueBall", "GoToObjDoor", "OpenDoorLoc", "PickupLoc", "PickupDistDebug", "ActionObjDoor"]


@pytest.mark.parametrize("level", LEVELS + MORE)
def test_success_within_twenty_turns(level):
    env = make("babyai", levels=[level])
    tasks = env.tasks(Split.TRAIN, 40)
    assert sum(play(env, task) for task in tasks) >= 36


def play(env, task):
    messages = [{"role": "user", "content": env.reset(task)}]
    for turn in range(20):
        text = propose(messages, 1, turn, ScriptedTeacher())[0]
        answer = env.step(parse_turn(text).action)
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": answer.observation}]
        if answer.done:
            return answer.success
    return False
