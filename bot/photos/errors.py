"""What is wrong with a photo, in words."""

from storage.errors import UserError


class PhotoError(UserError):
    """The photo cannot be used; the message is the rest of a sentence that begins with its name."""
