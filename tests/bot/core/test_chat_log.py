"""What the local chat remembers: a forgotten name is found and taken out however it was spelled."""

import pytest

from bot.core.chat_log import ChatMessage
from bot.core.messages import Reply
from storage.ids import new_id

SPELLINGS = [
    ("O’Neil", "O'Neil"),
    ("O'Neil", "O’NEIL"),
    ("Strauß", "STRAUSS"),
    ("R2-D2", "r2\u2011d2"),
    ("İpek", "i\u0307pek"),
    ("می\u200cخ", "میخ"),
    ("Zoë", "ZOË"),
]


@pytest.mark.parametrize(("name", "written"), SPELLINGS)
def test_a_name_is_found_in_every_spelling_that_means_it(name: str, written: str) -> None:
    said = f"/imagine a [{written}] dog in Paris"
    message = ChatMessage(id=new_id(), said=said, reply=Reply(text=f"A [{written}] dog."))
    assert message.names(name)
    left = message.without(name)
    assert (left.said, left.reply.text) == ("/imagine a […] dog in Paris", "A […] dog.")


def test_other_names_stay() -> None:
    message = ChatMessage(id=new_id(), said="/imagine a [rexy] dog", command="imagine", reply=Reply(text="On it."))
    assert not message.names("rex") and message.without("rex").said == message.said
