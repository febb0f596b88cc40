"""Slack as people use it: commands, forms, buttons, mentions, what all see and what only one sees."""

from bot.photos.uploads import Upload
from storage.ids import new_id
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
        message = await scene.imagined("a dog in Paris --count 2")
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
        assert await scene.slack.submit(form, prompt="a dog", size="64", seed="7", scheduler="euler") == {}
        job = await scene.job()
        assert (job.prompt, job.size_px, job.seed, job.scheduler) == ("a dog", 64, 7, "euler")


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


async def test_a_subject_is_learned_from_the_photos_of_a_form(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "train rex dog")
        form = await scene.slack.view()
        await scene.slack.submit(form, files=scene.slack.photos(photos_of_a_character(10)))
        message = await scene.slack.message(begun)
        job = await scene.job()
        await scene.hand.progress(job.id, "learning", 30, 120, samples=2)
        await scene.slack.message(lambda m: m is message and "1 min 30 s left" in m.text and len(images(m)) == 2)
        uploads = scene.server.count("files.completeUploadExternal")
        await scene.hand.progress(job.id, "learning", 60, 120, samples=2, losses=(0.9, 0.5, 0.1))
        assert "loss █▅▁ 0.100" in words(await scene.slack.message("60 of 120"))
        assert scene.server.count("files.completeUploadExternal") == uploads, "pictures are uploaded once"
        await scene.hand.train(job)
        end = await scene.slack.message(f"<@{ADA}> ")
        assert end.thread_ts == message.ts and "rex is ready" in end.text
        assert "photos" in images(end)[0]["alt_text"]
        assert labels(end) == ["Imagine", "Show", "Share", "Forget", "Details"]
        await scene.slack.press(end, "Imagine")
        assert "a [rex] dog in Paris" in str((await scene.slack.view()).body)
        assert [m for m in scene.slack.seen() if "<@" in m.text] == [end]


async def test_the_alt_text_of_photos_is_their_caption(scene: Scene) -> None:
    async with scene.bot():
        files = scene.slack.photos(photos_of_a_character(3))
        files[1].alt_text = "a dog on a sofa"
        await scene.slack.mention("train rex dog", files=files)
        subject = await scene.app.subjects.get((await scene.job()).subjects[0])
        assert [photo.caption for photo in subject.photos] == ["", "a dog on a sofa", ""]


async def test_photos_that_cannot_be_used_are_asked_about(scene: Scene) -> None:
    photos = (*photos_of_a_character(3), Upload(name="notes.png", data=b"not a picture"))
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos))
        question = await scene.slack.message("How shall I go on with rex?")
        assert "notes.png" in words(question) and labels(question) == ["Train", "Add photos", "Cancel"]
        await scene.slack.press(question, "Train", user=BOB)
        await scene.slack.message("Only the person who sent these photos", user=BOB)
        await scene.slack.press(question, "Add photos")
        more = scene.slack.photos(photos_of_a_character(6)[4:])
        await scene.slack.submit(await scene.slack.view(), files=more)
        job = await scene.job()
        subject = await scene.app.subjects.get(job.subjects[0])
        assert len(subject.photos) == 5
        assert scene.slack.seen() == [question], "the message with the question goes on with the training"


async def test_photos_of_any_message_are_taken_with_the_shortcut(scene: Scene) -> None:
    async with scene.bot():
        without = await scene.slack.say("no photos here")
        await scene.slack.shortcut(without)
        await scene.slack.message("There are no photos", user=ADA)
        message = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(4), BOB), user=BOB)
        await scene.slack.shortcut(message, user=BOB)
        form = await scene.slack.view(BOB)
        assert "photos" not in [b["block_id"] for b in form.body["blocks"]]
        await scene.slack.submit(form, name="rex", **{"class": "dog"})
        job = await scene.job()
        assert job.owner == BOB


async def test_of_many_subjects_the_newest_are_listed(scene: Scene) -> None:
    await scene.hand.keep(SPACE, ADA, 105)
    async with scene.bot():
        await scene.slack.slash("/dreambooth", "list")
        listed = await scene.slack.message("105 subjects", user=ADA)
        assert "… and 75 more" in words(listed) and len(images(listed)) == 10
        assert labels(listed)[:2] == ["pet-105", "pet-104"] and len(labels(listed)) == 100
        await scene.slack.press(listed, "pet-6")
        await scene.slack.message("pet-6, a dog", user=ADA)


async def test_subjects_are_listed_shown_shared_and_forgotten(scene: Scene) -> None:
    scene.slack.workspace.groups["S0PETS"] = [BOB]
    async with scene.bot():
        await scene.trained()
        await scene.slack.slash("/dreambooth", "share rex private")
        await scene.slack.message("rex can now be drawn by you and nobody else.", user=ADA)
        await scene.slack.slash("/dreambooth", "list", user=BOB)
        await scene.slack.message("No subjects yet", user=BOB)
        await scene.slack.slash("/dreambooth", "share rex @s0pets")
        await scene.slack.message("rex can now be drawn by you and everybody in @s0pets.", user=ADA)
        await scene.slack.slash("/dreambooth", "list", user=BOB)
        listed = await scene.slack.message("1 subject:", user=BOB)
        assert images(listed) and labels(listed) == ["rex"]
        await scene.slack.press(listed, "rex", user=BOB)
        shown = await scene.slack.message("a dog: write [rex]", user=BOB)
        await scene.slack.press(shown, "Forget", user=BOB)
        await scene.slack.message("Only the person who made this", user=BOB)
        await scene.slack.slash("/dreambooth", "retrain rex")
        again = await scene.job(2)
        await scene.slack.slash("/dreambooth", f"cancel {again.id}")
        await scene.slack.message("Stopped: /dreambooth retrain rex", user=ADA)
        await scene.slack.slash("/dreambooth", "forget rex")
        asked = await scene.slack.message("Forget rex? Its photos and everything learned", user=ADA)
        assert await scene.app.subjects.find(SPACE, "rex")
        await scene.slack.press(asked, "Forget")
        await scene.slack.message("Forgot rex", user=ADA)


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


async def test_share_with_the_form(scene: Scene) -> None:
    scene.slack.workspace.groups["S0PETS"] = [BOB]
    async with scene.bot():
        end = await scene.trained()
        await scene.slack.press(end, "Share")
        form = await scene.slack.view()
        assert await scene.slack.suggestions(form, "group", "@s0") == ["S0PETS"]
        await scene.slack.submit(form, group="S0PETS")
        await scene.slack.message("rex can now be drawn by you and everybody in @s0pets.", user=ADA)


async def test_many_subjects_are_a_menu(scene: Scene) -> None:
    async with scene.bot():
        await scene.trained()
        (rex,) = await scene.app.subjects.in_space(SPACE)
        for k in range(40):
            await scene.app.subjects.add(rex.model_copy(update={"id": new_id(), "name": f"rex-{k}"}))
        await scene.slack.slash("/dreambooth", "list")
        listed = await scene.slack.message("41 subjects:", user=ADA)
        assert len(labels(listed)) == 41
        await scene.slack.press(listed, "rex-7")
        await scene.slack.message("write [rex-7] in a prompt", user=ADA)


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
