"""Who may send now."""

from hypothesis import given
from hypothesis import strategies as st

from streams.notify.slots import Slots


def test_a_silent_host_gets_one_until_it_answers() -> None:
    slots = Slots(in_flight=10, per_host=4)
    for _ in range(4):
        slots.take("dead")
    assert slots.room("dead") == 0
    assert slots.room("well") == 4
    for _ in range(4):
        slots.release("dead", answered=False)
    assert slots.room("dead") == 1
    slots.take("dead")
    assert slots.room("dead") == 0
    slots.release("dead", answered=True)
    assert slots.room("dead") == 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans())))
def test_never_over_a_limit(steps: list[tuple[str, bool, bool]]) -> None:
    slots = Slots(in_flight=5, per_host=3)
    busy = {"a": 0, "b": 0, "c": 0}
    for host, start, answered in steps:
        if start and slots.room(host):
            slots.take(host)
            busy[host] += 1
        elif not start and busy[host]:
            slots.release(host, answered=answered)
            busy[host] -= 1
        assert max(busy.values()) <= 3
        assert slots.free == 5 - sum(busy.values()) >= 0
