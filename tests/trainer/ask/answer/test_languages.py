"""Questions in other languages than English."""

import pytest

from tests.trainer.ask.answer.test_pieces import best
from trainer.ask.answer.question import Question

GERMAN = (
    "Gemseggbahn\nDie Gemseggbahn führt auf den 2.843 m hohen Gemsegg. Sie wurde 1964 eröffnet. Eine Kabine fasst "
    "80 Personen, die Fahrt dauert 11 Minuten. Betriebsleiter ist Beat Zurbriggen. Hunde fahren kostenlos mit."
)
JAPANESE = "風森温泉のご案内\n開湯は1623年で、源泉の温度は58度です。入浴料は大人700円です。館長は小野寺健一です。"
FRENCH = "Le pont de Lorme\nLe pont de Lorme a été inauguré en 1911. Sa longueur est de 312 mètres. Il est gris."


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        (GERMAN, "Wie hoch ist der Gemsegg?", "2.843 m"),
        (GERMAN, "Wann wurde die Gemseggbahn eröffnet?", "1964"),
        (GERMAN, "Wie viele Personen fasst eine Kabine der Gemseggbahn?", "80"),
        (GERMAN, "Wer ist Betriebsleiter der Gemseggbahn?", "Zurbriggen"),
        (GERMAN, "Wie viele Gäste hatte die Gemseggbahn im letzten Jahr?", ""),
        (JAPANESE, "風森温泉の源泉の温度は何度ですか？", "58度"),
        (JAPANESE, "風森温泉の館長は誰ですか？", "小野寺健一"),
        (JAPANESE, "風森温泉の入浴料はいくらですか？", "700円"),
        (JAPANESE, "風森温泉には何人の客が来ますか？", ""),
        (FRENCH, "Quelle est la longueur du pont de Lorme ?", "312"),
        (FRENCH, "Quand le pont de Lorme a-t-il été inauguré ?", "1911"),
    ],
)
def test_a_question_is_answered_in_its_language(text: str, question: str, answer: str) -> None:
    said = best(question, text)
    assert answer in said if answer else said == ""


@pytest.mark.parametrize(
    ("question", "code", "kind"),
    [
        ("Who is the mayor of Elm?", "", "name"),
        ("What is in the war museum?", "", ""),
        ("Wann wurde Elm gegründet?", "de", "date"),
        ("Combien d'habitants a Lyon ?", "fr", "number"),
        ("¿Quién es el alcalde de Ávila?", "es", "name"),
        ("Quando è stata fondata Roma?", "it", "date"),
        ("Hoe hoog is de toren?", "nl", "number"),
        ("東京タワーの高さは？", "cjk", "number"),
    ],
)
def test_the_language_of_a_question_says_what_it_asks_for(question: str, code: str, kind: str) -> None:
    asked = Question(question)
    assert (asked.language.code if asked.language else "", asked.kind) == (code, kind)
