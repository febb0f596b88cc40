# Two images of one code base:
#   docker build --target bot .        the chats: slim, without torch
#   docker build --target trainer .    a worker: torch, diffusers and the model that ships

FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DARKROOM_HOME=/var/lib/darkroom \
    HF_HOME=/var/lib/darkroom/hub
RUN useradd --system --uid 10001 --create-home darkroom \
    && install --directory --owner=darkroom --group=darkroom /var/lib/darkroom
WORKDIR /app

# what the code needs comes before the code, which changes more often
FROM base AS bot-needs
COPY requirements/bot.txt requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/bot.txt

FROM base AS trainer-needs
COPY pyproject.toml ./
COPY requirements/trainer.txt requirements/
# PyTorch is in no lock file, since its build differs by machine
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/trainer.txt \
    && pip install --no-cache-dir "$(sed -nE 's/.*"(torch==[^"]+)".*/\1/p' pyproject.toml)"

FROM bot-needs AS bot
COPY pyproject.toml README.md LICENSE ./
COPY storage storage
COPY bot bot
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER 10001
# it listens on the loopback of its network: see compose.yaml for how to reach it
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('DARKROOM_PORT', '8700'))"]
CMD ["darkroom", "up", "--no-worker"]

# the bot's code is here for `darkroom doctor`
FROM trainer-needs AS trainer
COPY README.md LICENSE ./
COPY storage storage
COPY bot bot
COPY trainer trainer
COPY docs docs
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER 10001
# no health check: a worker that is stuck loses its lease, and one that cannot go on ends and is restarted
CMD ["python", "-m", "trainer"]
