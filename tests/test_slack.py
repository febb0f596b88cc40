"""Slack as people use it: commands, forms, buttons, mentions, what they see and what only they see."""

from tests.slack import Scene
from tests.slack_server.people import BOB, images, labels, words


async def test_pictures_are_asked_for_with_a_command_and_come_in_the_same_message(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris --count 4 --seed 7")
        message = await scene.slack.message("On it.")
        job = await scene.job()
        await scene.finish(job)
        done = await scene.slack.message("Here they are.")
        assert done is message
        assert (job.count, job.seed, job.owner, job.space) == (4, 7, "U0ADA", "slack:T0TEAM")
        assert [image["alt_text"] for image in images(done)] == ["four dogs in Paris"]
        assert labels(done)[:4] == ["Again", "Variations", "Edit prompt", "Delete"]
        assert "V4" in labels(done) and "Full 4" in labels(done)
