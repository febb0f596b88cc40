"""A training as the engine's scheduler runs it: class images, steps, what is done between them, the result."""

import logging
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from storage.contract.recipe import Recipe
from storage.errors import UserError
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from trainer.dreambooth import class_images
from trainer.dreambooth.checkpoint import Checkpointer
from trainer.dreambooth.fsdp import Shards
from trainer.dreambooth.multi_lora import batch_key
from trainer.dreambooth.prompts import CLASS_BATCH
from trainer.dreambooth.state import restore
from trainer.dreambooth.train import Step, Training, TrainingResult
from trainer.engine.distributed import ENOUGH, GO_ON, STOP
from trainer.engine.host import Host, Paused
from trainer.engine.run import Run
from trainer.engine.train_result import finish_training
from trainer.engine.training_monitor import TrainingMonitor
from trainer.engine.training_session import TrainingServices, TrainingSession, open_session
from trainer.memory.device import must_shard, this_machine
from trainer.memory.fit import estimate_of_engine, must_go_gently, with_less_memory
from trainer.out_of_memory import free_cached_memory
from trainer.protocol import ProgressReport, Task, TaskResult, TrainTask
from trainer.steps import Steps

log = logging.getLogger(__name__)


class TrainingRun(Run):
    """Learns subjects, alone or with the other engines of a group, which take every step along with the leader.

    A step is one of the optimizer, or a denoising step of pictures that the training needs.
    """

    task: TrainTask

    def __init__(self, task: TrainTask, host: Host, services: TrainingServices) -> None:
        super().__init__(task)
        self.host, self.base, self.services, self.group = host, host.base, services, services.group
        self._next: Training | None = None  # which takes an optimizer step at the next turn
        self._checkpointer: Checkpointer | None = None

    @property
    def batch_key(self) -> Hashable | None:
        """LoRA trainings of one kind share steps, before which nothing else is to be done."""
        key = batch_key(self._next) if self._next and not self.task.gentle else None
        return None if key in self.services.multi_lora.refused else key

    @property
    def rows_max(self) -> int:
        """Trainings in one step."""
        return self.services.multi_lora.most

    def step_with(self, others: Sequence[Run]) -> None:
        """Take an optimizer step of each, computed together where that makes no difference to any of them."""
        trainings = [run._next for run in (self, *others) if isinstance(run, TrainingRun) and run._next]
        if len(trainings) > 1:
            self.services.multi_lora.step(trainings)
        super().step_with(others)

    def steps(self) -> Steps[TaskResult]:
        """Learn; write weights, sample pictures and checkpoints into the task's folder."""
        self.host.say(ProgressReport(job=self.task.job, phase="loading"))
        recipe, sharding = Recipe.model_validate(self.task.recipe), load_settings(TrainerSettings).sharding
        shards = must_shard(sharding, recipe, self.base, self.group.size, self.task.gentle)
        gentle = self.task.gentle or self._is_short(recipe, self.group.size if shards else 1)
        self.task = self.task.model_copy(update={"shards": shards, "gentle": gentle})  # what the group is to agree on
        session = open_session(self.task, self.host, self.services)
        self._checkpointer = session.checkpointer
        try:
            return (yield from self._lead(session))
        except Paused:
            return TaskResult(job=self.task.job, state="paused")
        finally:
            session.log.finish()

    def gentle_task(self) -> Task:
        """The same training with less memory, from its newest checkpoint on: those fit both ways."""
        task, checkpointer = super().gentle_task(), self._checkpointer
        self._checkpointer = None  # it knows what the session holds
        if not checkpointer:
            return task
        checkpointer.finish()
        return task.model_copy(update={"begun": str(checkpointer.newest)}) if checkpointer.newest else task

    def _is_short(self, recipe: Recipe, gpus: int) -> bool:
        """Whether memory is known to be too short for all at once; raises UserError where it is too short at all."""
        if self.base.placement.offload == "blocks":  # else autograd would keep each block that is brought
            return True
        if self.base.device.type != "cuda":  # whose memory nobody else has
            return False
        needs = estimate_of_engine(self.base, load_settings(TrainerSettings))
        return must_go_gently(recipe, needs, this_machine(), gpus)

    def follow(self) -> None:
        """Take part in the leader's training, as another engine of its group."""
        session = open_session(self.task, self.host, self.services)
        try:
            with self._ending_the_group(session):
                self._take_part(session)
        except UserError:
            free_cached_memory()

    def _lead(self, session: TrainingSession) -> Steps[TaskResult]:
        for trained in session.subjects:
            if trained.class_set and not class_images.is_usable(trained.class_set):
                yield from self._draw_class_set(session, trained.subject.noun, trained.class_set)
        begun = session.begun()
        if begun:
            losses = tuple(begun["losses"][:, 0].tolist())
            self.host.say(session.report(len(losses), losses=losses))
            session.candidates.load(begun)
        session.log = self.services.trackers.watch(self.task, session.recipe, len(begun["losses"]) if begun else 0)
        # The others begin only now: they would wait idle while class images are drawn, and they read the same files.
        self.group.tell(self.task.model_dump_json().encode())
        with self._ending_the_group(session):
            learned = yield from self._learn(session, begun)
        self.host.say(ProgressReport(job=self.task.job, phase="saving"))
        result = yield from finish_training(self.host, session, learned)
        session.log.ended(result)
        return result

    def _draw_class_set(self, session: TrainingSession, noun: str, path: Path) -> Steps[None]:
        at_once, drawn = 1 if self.task.gentle else CLASS_BATCH, self.services.class_sets_drawn
        while path in drawn:  # by another training, which has its turns
            if self.host.pausing:
                raise Paused
            yield 0, 1
        if class_images.is_usable(path):
            return
        drawn.add(path)
        try:
            for done, of in class_images.draw_class_set(self.base, noun, session.recipe, path, at_once):
                if self.host.pausing:
                    raise Paused
                self.host.say(ProgressReport(job=self.task.job, phase="class images", step=done, of=of))
                yield done, of
        finally:
            drawn.discard(path)

    def _learn(self, session: TrainingSession, begun: dict[str, Tensor] | None) -> Steps[TrainingResult]:
        """Take one step after another, as long as the others of the group are told to take it along."""
        training, monitor, enough = self._training(session, begun), TrainingMonitor(self.host, session), False
        while training.taken < session.recipe.steps and not enough:
            training.step()
            try:
                enough = yield from monitor.after(Step(training.taken, training))
                self._next = None if enough or training.taken == session.recipe.steps else training
                yield training.taken, session.recipe.steps
                self._next = None
            except (UserError, Paused, GeneratorExit):
                self.group.tell(STOP)
                raise
            self.group.tell(ENOUGH if enough else GO_ON)  # no `yield` from here to the next step, which they begin
        return training.result()

    def _take_part(self, session: TrainingSession) -> None:
        """Take the leader's steps along with it."""
        training, message = self._training(session, session.begun()), GO_ON
        while training.taken < session.recipe.steps and message == GO_ON:
            training.step()
            while (message := self.group.hear()) not in (GO_ON, ENOUGH, STOP):
                training.join(message)
        # Gathering the weights takes all of them, and a stopped training has none to gather.
        if message != STOP:
            training.finish()

    def _training(self, session: TrainingSession, begun: dict[str, Tensor] | None) -> Training:
        """The training at its beginning, or where it is to go on from."""
        task, recipe = self.task, session.recipe
        subjects = [
            (trained.subject, class_images.read_class_set(trained.class_set) if trained.class_set else None)
            for trained in session.subjects
        ]
        how = with_less_memory(recipe) if task.gentle else recipe
        shards = Shards(self.group.tell) if task.shards else None
        training = Training(self.base, subjects, how, task.seed, shards)
        if begun:
            restore(training, begun)
        return training

    @contextmanager
    def _ending_the_group(self, session: TrainingSession) -> Iterator[None]:
        """What surprises one engine of a group ends them all: the others wait for it in the middle of a step."""
        try:
            yield
        except (Paused, UserError):
            raise
        except Exception:
            if self.group.size > 1:
                log.exception("job %s failed in engine %d", self.task.job, self.group.rank)
                self.group.give_up()
            raise
        finally:
            if self.task.shards or session.recipe.compiled == "graphs":
                free_cached_memory()  # their modules and hooks hold each other, and would keep their memory for a while
