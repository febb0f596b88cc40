"""What a question asks for: the dimension of “how much is …”, and what counts as a price."""

import pytest

from trainer.ask.answer.dimensions import asked_dimensions
from trainer.ask.answer.question import Question


@pytest.mark.parametrize(
    ("question", "dimension"),
    [
        ("How much is the annual rainfall in Elm?", "length"),
        ("How much is the weight of the bell?", "mass"),
        ("How much is 5 miles in kilometres?", "length"),
        ("How much is it in euros?", "money"),
        ("How much is a ticket?", "money"),
        ("How much are tickets for the museum?", "money"),
        ("How much is a day ticket?", "money"),
        ("How much is a night in the Elm hotel?", "money"),
        ("How much is a ticket for the distance from Elm to Ash?", "money"),
    ],
)
def test_how_much_is_asks_for_a_price_unless_another_quantity_is_named(question: str, dimension: str) -> None:
    assert asked_dimensions(question) == {dimension}


def test_a_quantity_answers_how_much_it_is() -> None:
    assert Question("How much is the annual rainfall in Elm?").has_kind("Elm has an annual rainfall of 2,250 mm.")


@pytest.mark.parametrize(
    ("text", "is_price"),
    [
        ("Entry is free.", True),
        ("Children enter for free!", True),
        ("Admission is free for children.", True),
        ("It is free of charge", True),
        ("There is free admission on Sundays.", True),
        ("It is free to enter.", True),
        ("Entry is free (on Sundays).", True),
        ("Entry is not free of charge.", False),
        ("Entry isn't free.", False),
        ("Feel free to ask.", False),
        ("The cakes are gluten-free.", False),
        ("There is free Wi-Fi.", False),
        ("The cakes are free from nuts.", False),
    ],
)
def test_free_is_a_price_where_it_is_said_of_what_is_paid_for(text: str, is_price: bool) -> None:
    assert Question("How much is a ticket?").has_kind(text) is is_price


@pytest.mark.parametrize(
    ("text", "is_price"),
    [
        ("Free parking is available behind the hall.", True), ("There is free parking.", True),
        ("Feel free to visit us.", False), ("Free Wi-Fi in all rooms.", False), ("The park is alcohol-free.", False),
    ],
)  # fmt: skip
def test_what_is_asked_for_may_stand_after_free(text: str, is_price: bool) -> None:
    assert Question("How much does parking cost at the Salt Hall?").has_kind(text) is is_price


def test_a_follow_up_asks_for_what_its_own_words_do() -> None:
    question = Question("How much does the heron lamp cost? And where was it made?")
    assert question.kind == "name" and question.asks_where
    assert question.words == {"heron", "lamp"}


def test_how_much_of_a_quantity_asks_for_its_unit() -> None:
    assert Question("How much power does the Brewer use?").dimensions == {"power"}
    assert Question("How much money comes with the Orle Prize?").dimensions == {"money"}


def test_who_is_asks_for_a_person_and_who_may_for_anybody() -> None:
    assert not Question("Who is the head of Orle Mill?").has_kind(
        "The mill runs on the CPU, from the file that MILL_HOME names."
    )
    assert Question("Who is the head of Orle Mill?").has_kind("The mill is run by Rosa Telling.")
    assert Question("Who can see my pictures?").kind == ""
