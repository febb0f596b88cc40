"""What people do meanwhile: train, draw, cancel, forget, at the local chat."""

import asyncio
import time
from random import Random
from typing import Any

from bot.connectors.web.chat import Chat
from bot.core.local_space import SPACE, USER
from bot.core.messages import Request
from bot.photos.uploads import Upload
from storage.errors import StoreError
from tests.chaos.scene import Scene
from tests.conftest import photos_of_a_character

NOUNS = ("dog", "cat", "teapot")


class People:
    """Asks for one thing after another."""

    def __init__(self, scene: Scene, chance: Random, steps: tuple[int, int], every_s: float) -> None:
        """`steps` has a training at least and at most; there is a request `every_s` on the average."""
        self.scene, self.chance, self.steps, self.every_s = scene, chance, steps, every_s
        self.accepted: dict[str, float] = {}  # when each job was first seen in the chat, on the monotonic clock

    async def go_on(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / self.every_s))
            deeds = (self.train, self.imagine, self.cancel, self.forget, self.answer)
            weights = (3, 5, 1, 1, 1)
            (deed,) = self.chance.choices(deeds, weights)
            if not self.scene.chat.closing:
                await deed(self.scene.chat)
            self.look()

    def look(self) -> None:
        """Note which jobs the chat says are accepted."""
        for message in self.scene.chat.messages.values():
            if message.reply.job:
                self.accepted.setdefault(message.reply.job, time.monotonic())

    async def train(self, chat: Chat) -> None:
        """Send photos of something new, now and then with one that is none: a question follows."""
        name = f"pet{len(self.scene.names) + 1}"
        self.scene.names.append(name)
        photos = photos_of_a_character(count=3, seed=self.chance.randrange(1000))
        if self.chance.random() < 0.2:
            photos += (Upload(name="notes.png", data=b"no picture"),)
        options = {"steps": self.chance.randint(*self.steps), "seed": self.chance.randrange(9)}
        noun = self.chance.choice(NOUNS)
        await ask(chat, "dreambooth train", photos, name=name, **{"class": noun}, **options)

    async def imagine(self, chat: Chat) -> None:
        """Have pictures drawn, of something that was learned if there is anything."""
        known = await self._ready()
        prompt = f"a [{self.chance.choice(known)}] in Paris" if known else "a dog in Paris"
        await ask(chat, "imagine", prompt=prompt, count=self.chance.randint(1, 3), steps=self.chance.randint(2, 40))

    async def cancel(self, chat: Chat) -> None:
        """Stop something that waits or runs."""
        if jobs := chat.open_jobs():
            await ask(chat, "dreambooth cancel", job=self.chance.choice(jobs))

    async def forget(self, chat: Chat) -> None:
        """Have something forgotten, ready or not."""
        try:
            subjects = await self.scene.app.subjects.in_space(SPACE)
        except StoreError:
            return
        if subjects:
            await ask(chat, "dreambooth forget", name=self.chance.choice(subjects).name)

    async def answer(self, chat: Chat) -> None:
        """Press a button of the newest question, but for the one that opens a form."""
        asked = [message.reply for message in chat.messages.values() if message.reply.question]
        if asked and (buttons := [button for button in asked[-1].buttons if not button.form]):
            button = self.chance.choice(buttons)
            await ask(chat, button.command, **button.arguments)

    async def _ready(self) -> list[str]:
        try:
            return [s.name for s in await self.scene.app.subjects.in_space(SPACE) if s.state == "ready"]
        except StoreError:
            return []


async def ask(chat: Chat, command: str, uploads: Any = (), **arguments: object) -> None:
    """Say a command at the chat, as its page would."""
    given = {name: str(value) for name, value in arguments.items()}
    request = Request(space=SPACE, user=USER, command=command, arguments=given, uploads=uploads, confirmed=True)
    await chat.ask(request, f"/{command}")
