"""The bot: translates chats into jobs and outcomes into messages. There is no torch anywhere in it."""
