"""Values are handed on in the order of their keys, none later than it must be."""

from depo_lightning.in_order import InOrder


def test_each_value_waits_for_those_before_it_only():
    taken = []
    ordered = InOrder("abcd", taken.append)
    for key, so_far in (("b", []), ("a", ["A", "B"]), ("d", ["A", "B"]), ("c", ["A", "B", "C", "D"])):
        ordered.put(key, key.upper())
        assert taken == so_far
