"""What is due when."""

import itertools

import pytest

from tfp_flows.training.agenda import Agenda, Due


def test_every_so_many_steps_and_all_at_the_end():
    agenda = Agenda(steps=7, log_every=2, validate_every=3, checkpoint_every=4)
    due = {step: agenda.due(step) for step in range(1, 8)}
    assert [step for step in due if due[step].log] == [2, 4, 6, 7]
    assert [step for step in due if due[step].validate] == [3, 6, 7]
    assert [step for step in due if due[step].save] == [4, 7]
    assert [step for step in due if due[step].end] == [7]


def test_no_validation_not_even_at_the_end():
    assert Agenda(5, 1, 0, 5).due(5) == Due(log=True, validate=False, save=True, end=True)


@pytest.mark.parametrize(
    "steps, log, validate, save", itertools.product((1, 5, 6), (1, 2, 9), (0, 2), (3, 9))
)
def test_against_the_plain_words(steps, log, validate, save):
    agenda = Agenda(steps, log, validate, save)
    for step in range(1, steps + 1):
        last = step == steps
        assert agenda.due(step) == Due(
            log=step % log == 0 or last,
            validate=bool(validate) and (step % (validate or 1) == 0 or last),
            save=step % save == 0 or last,
            end=last,
        )


def test_a_run_beyond_its_steps_is_at_its_end():
    assert Agenda(5, 2, 2, 2).due(6).end
