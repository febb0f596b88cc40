"""Questions on Slack: by command, by mention, in a thread; with links in the answer."""

from storage.kinds.ask import AskJob
from tests.servers.slack.people import ADA, labels, words
from tests.support.answers import answer, give, read_and_write
from tests.support.slack_bot import SPACE, Scene

LINK = "<https://zorvia.test/tower?a=%281%29|[1]>"


async def the_question(scene: Scene, count: int = 1) -> AskJob:
    job = await scene.hand.job(SPACE, count)
    assert isinstance(job, AskJob)
    return job


async def test_an_answer_has_its_sources_as_links(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/ask", "How tall is the tower? --domains zorvia.test --recency year")
        job = await the_question(scene)
        assert (job.question, job.filters.recency) == ("How tall is the tower?", "year")
        await read_and_write(scene.hand, job.id)
        message = await scene.slack.message("The tower (zorvia.test)")
        await give(scene.hand, job)
        await scene.slack.message(LINK)
        assert "Follow up" in labels(message) and "<!everyone>" not in words(message) and "<@7>" not in words(message)
        await scene.slack.press(message, "Sources")
        await scene.slack.message("Sources of", user=ADA)


async def test_a_mention_in_the_thread_of_an_answer_follows_it_up(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.mention("ask How tall is the tower?")
        job = await the_question(scene)
        await give(scene.hand, job)
        message = await scene.slack.message(LINK)
        await scene.slack.mention("and how old is it?", thread=message)
        follow = await the_question(scene, 2)
        assert (follow.question, follow.history) == ("and how old is it?", (job.id,))
        await give(scene.hand, follow, answer("It is old [1]."))
        await scene.slack.message("It is old")
        await scene.slack.mention("ask who built it?", thread=message)
        third = await the_question(scene, 3)
        assert third.history == (job.id, follow.id)


async def test_a_long_answer_is_one_message(scene: Scene) -> None:
    text = " ".join(f"Sentence number {n} tells of the tower and of its stairs." for n in range(120)) + " End [1]."
    async with scene.bot():
        await scene.slack.slash("/ask", "How tall is the tower?")
        await give(scene.hand, await the_question(scene), answer(text))
        message = await scene.slack.message(LINK)
        sections = [block["text"]["text"] for block in message.blocks if block["type"] == "section"]
        assert len(sections) > 1 and all(len(section) <= 3000 for section in sections)
        assert all(" ".join(sections).count(f"Sentence number {n} ") == 1 for n in range(120))
