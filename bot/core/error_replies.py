"""Replies to exceptions: what people read of bad input, of outages, and of surprises."""

import logging

from bot.core.messages import Reply
from storage.errors import Full, Missing, Sentences, UserError, store_sentence
from storage.failures import Failure
from storage.ids import new_id
from storage.service_errors import SERVICE_ERRORS, failure_of, reason_of

log = logging.getLogger(__name__)

FAILURE_SAYS = {
    Failure.OUTAGE: "The storage or the queue does not answer. Please try again soon.",
    Failure.PERMANENT: "The storage or the queue refuses this. Trying again does not help; the log says why.",
    Failure.UNKNOWN: "The storage or the queue failed. Try again soon; if it happens again, tell whoever runs me.",
}
FULL_SAYS: Sentences = {
    Full: "The disk of the storage is full, so nothing new can be kept. Deleting and forgetting make room."
}


def error_reply(error: Exception, command: str) -> Reply:
    """The sentence for an exception that a command raised.

    | what happens | the person reads | the log gets |
    |---|---|---|
    | bad input (UserError) | its sentence | nothing |
    | a record is damaged, or of a newer version; the disk is full | that, and who can help | a warning |
    | the store or the queue is away | that nothing was lost, try again | a warning |
    | the store or the queue refuses | that this will not help | an error |
    | anything else | a short reference | the traceback with that reference |
    """
    if isinstance(error, UserError):
        return Reply(text=str(error), state="failed", fault="input")
    if isinstance(error, SERVICE_ERRORS):
        failure = failure_of(error)
        # Outages pass by themselves; everything else needs the operator, who may be alerted by errors.
        level = logging.WARNING if failure is Failure.OUTAGE else logging.ERROR
        log.log(level, "%s failed: %s", command, reason_of(error))
        return Reply(text=service_error_text(error), state="failed", fault="ours")
    # The traceback may hold prompts and names: people get a reference to it, and the log the rest.
    reference = new_id()[-8:]
    log.error("surprise %s in %s", reference, command, exc_info=error)
    text = f"Something went wrong on our side (reference {reference}). If it happens again, tell whoever runs this bot."
    return Reply(text=text, state="failed", fault="ours")


def service_error_text(error: Exception) -> str:
    """What people read where queue or store failed, with one of SERVICE_ERRORS: by the kind of failure."""
    if isinstance(error, Missing):
        return "Something that this needs has been deleted."
    sentence = store_sentence(error, FULL_SAYS)
    return sentence or FAILURE_SAYS[failure_of(error)]
