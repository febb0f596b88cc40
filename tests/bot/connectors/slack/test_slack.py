"""Slack as people use it: commands, forms, buttons, mentions, what all see and what only one sees."""

from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, BOB, begun, images, labels, words
from tests.support.slack_bot import SPACE, Scene


async def test_pictures_asked_for_with_a_command_come_in_the_message_that_answered(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris --count 4 --seed 7")
        message = await scene.slack.message(begun)
        job = await scene.job()
        assert isinstance(job, ImagineJob)
        assert (job.prompt, job.count, job.seed, job.owner, job.space) == ("a dog in Paris", 4, 7, ADA, SPACE)
        await scene.hand.progress(job.id, "drawing", 3, 10)
        await scene.slack.message(lambda m: m is message and "Drawing, 3 of 10" in m.text and "30 %" in words(m))
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: m is message and bool(images(m)))
        assert scene.slack.seen() == [message]
        assert images(message)[0]["alt_text"].startswith("picture grid")
        assert labels(message)[:5] == ["Again", "Edit prompt", "Delete", "Details", "V1"]
        assert [label for label in labels(message) if label[-1] == "3"] == ["V3", "Full 3", "Delete 3"]


async def test_the_buttons_under_pictures(scene: Scene) -> None:
    async with scene.bot():
        message = await scene.imagined("a dog in Paris --count 2 --seed 5")
        job = await scene.job()
        await scene.slack.press(message, "Again", user=BOB)
        again = await scene.job(2)
        assert (again.prompt, again.owner) == ("a dog in Paris", BOB)
        await scene.slack.press(message, "V2")
        assert (await scene.job(3)).vary_seed == 6
        await scene.slack.press(message, "Full 2")
        full = await scene.slack.message("seed 6)")
        assert len(images(full)) == 1
        await scene.slack.press(message, "Details", user=BOB)
        assert job.id in words(await scene.slack.message("*seeds*", user=BOB))
        await scene.slack.press(message, "Edit prompt")
        form = await scene.slack.view()
        await scene.slack.submit(form, prompt="a cat in Rome")
        edited = await scene.job(4)
        assert (edited.prompt, edited.seed, edited.count) == ("a cat in Rome", 5, 2)


async def test_many_pictures_have_menus(scene: Scene) -> None:
    async with scene.bot():
        message = await scene.imagined("a dog in Paris --count 9")
        assert [b["elements"][0]["type"] for b in message.blocks if b["type"] == "actions"][1:] == ["static_select"] * 3
        await scene.slack.press(message, "Full 9")
        await scene.slack.message("(seed ")
        await scene.slack.press(message, "Delete 9")
        await scene.slack.message(lambda m: m is message and "8 pictures left" in m.text and bool(images(m)))


async def test_one_picture_of_several_can_be_deleted_by_who_asked(scene: Scene) -> None:
    async with scene.bot():
        message = await scene.imagined("a dog in Paris --count 2 --seed 5")
        await scene.slack.press(
            message, "Full 2"
        )  # which uploads it by itself, and that is deleted with the job's posts
        await scene.slack.message("(seed 6)")
        await scene.slack.press(message, "Delete 1", user=BOB)
        await scene.slack.message("Only the person who", user=BOB)
        await scene.slack.press(message, "Delete 1")
        await scene.slack.message(lambda m: m is message and "1 picture left" in m.text and bool(images(m)))
        assert "Delete 1" not in labels(message)


async def test_pictures_are_deleted_by_who_asked_for_them_and_by_admins(scene: Scene) -> None:
    async with scene.bot():
        message, other = await scene.imagined("a dog in Paris"), await scene.imagined("a cat in Rome")
        await scene.slack.press(message, "Delete", user=BOB)
        await scene.slack.message("Only the person who", user=BOB)
        assert images(message)
        await scene.slack.press(message, "Delete")
        await scene.slack.message(lambda m: m is message and "Deleted 4 pictures" in m.text and not images(m))
        scene.slack.workspace.add_user("U0EVE", admin=True)
        await scene.slack.press(other, "Delete", user="U0EVE")
        await scene.slack.message(lambda m: m is other and "Deleted 4 pictures" in m.text)


async def test_a_command_alone_opens_a_form_whose_mistakes_are_told_beside_the_fields(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine")
        form = await scene.slack.view()
        answer = await scene.slack.submit(form, prompt="a dog", size="33", seed="7", scheduler="euler")
        assert answer["errors"] == {"size": "Sides of a picture are multiples of 8 pixels: 32×32 would do."}
        given = {"prompt": "a dog", "size": "64", "seed": "7", "scheduler": "euler", "quality": "final"}
        assert await scene.slack.submit(form, **given) == {}
        job = await scene.job()
        assert (job.prompt, job.size_px, job.seed, job.scheduler, job.quality) == ("a dog", 64, 7, "euler", "final")


async def test_what_is_wrong_with_a_command_is_told_to_its_author_alone(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog --count 99")
        await scene.slack.message("Count must be at most 16, not 99.", user=ADA)
        await scene.slack.slash("/imagine", "a [nobody] in Paris")
        await scene.slack.message("nobody", user=ADA)
        await scene.slack.slash("/dreambooth", "dance")
        await scene.slack.message("Try /darkroom help", user=ADA)
        await scene.slack.slash("/dreambooth")
        assert "/dreambooth train" in words(await scene.slack.message("/imagine", user=ADA))
        assert scene.slack.seen() == []


async def test_forms_suggest_what_there_is(scene: Scene) -> None:
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/imagine")
        form = await scene.slack.view()
        assert await scene.slack.suggestions(form, "subject", "RE") == ["rex"]
        assert await scene.slack.suggestions(form, "subject", "tom") == []
        await scene.slack.submit(form, prompt="a dog in Paris")
        drawing = await scene.job(2)
        await scene.slack.slash("/dreambooth", "cancel")
        form = await scene.slack.view()
        assert await scene.slack.suggestions(form, "job") == [drawing.id], "what has ended cannot be cancelled"
        await scene.slack.submit(form, job=drawing.id)
        await scene.slack.message("Stopped: /imagine a dog in Paris", user=ADA)


async def test_what_is_asked_in_a_thread_is_answered_there(scene: Scene) -> None:
    photos = scene.slack.photos(photos_of_a_character())
    async with scene.bot():
        root = await scene.slack.say("Look at my dog!")
        asked = await scene.slack.say("This one", photos, thread=root)
        await scene.slack.shortcut(asked)
        await scene.slack.submit(await scene.slack.view(), name="rex", **{"class": "dog"})
        job = await scene.job()
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        await scene.slack.mention("imagine a dog in Paris", thread=root)
        drawing = await scene.job(2)
        assert isinstance(drawing, ImagineJob)
        await scene.hand.draw(drawing)
        await scene.slack.message(lambda m: "rex is ready" in m.text and "<@" in m.text)
        await scene.slack.message(lambda m: bool(images(m)) and "a dog in Paris" in m.text)
        assert {m.thread_ts for m in scene.slack.seen()} == {root.ts} and len(scene.slack.seen()) == 3


async def test_other_apps_are_not_answered(scene: Scene) -> None:
    async with scene.bot():
        said = {"type": "app_mention", "bot_id": "B0OTHER", "text": "<@U0BOT> help", "channel": scene.slack.general.id}
        await scene.slack.deliver("events_api", scene.slack.payloads.event(said))
        await scene.slack.mention("help")
        await scene.slack.message("Send a few photos", user=ADA)
        assert scene.slack.seen() == []


async def test_the_bot_hears_its_name(scene: Scene) -> None:
    async with scene.bot():
        called = scene.slack.workspace.post(scene.slack.general, BOB, "<@U0BOT|darkroom> help")
        await scene.slack.deliver("events_api", scene.slack.payloads.mention(called))
        await scene.slack.message("Send a few photos", user=BOB)
        await scene.slack.mention("help")
        assert "/imagine" in words(await scene.slack.message("Send a few photos", user=ADA))
        await scene.slack.mention("make me a sandwich", user=BOB)
        await scene.slack.message("I do not know “make me”", user=BOB)
        await scene.slack.mention("train rex dog")
        await scene.slack.message("Add a few photos", user=ADA)
        await scene.slack.mention("imagine a dog in Paris")
        assert (await scene.job()).prompt == "a dog in Paris"


async def test_newcomers_are_welcomed(scene: Scene) -> None:
    async with scene.bot():
        joined = {"type": "member_joined_channel", "user": "U0BOT", "channel": scene.slack.general.id, "team": "T0TEAM"}
        await scene.slack.deliver("events_api", scene.slack.payloads.event(joined))
        await scene.slack.message("Send a few photos")
        opened = {"type": "app_home_opened", "user": ADA, "channel": "D0ADA", "tab": "home"}
        await scene.slack.deliver("events_api", scene.slack.payloads.event(opened))
        await scene.slack.message("Send a few photos")


async def test_a_prompt_of_four_thousand_characters_is_refused_in_a_sentence(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "狗" * 4000)
        await scene.slack.message("at most 1000 characters, this one has 4,000", user=ADA)
