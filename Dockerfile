# The course with all that it needs: builds the book, runs the notebooks, grades. See book/container.md.
FROM debian:bookworm-slim AS system
# no versions: the newest security updates are wanted
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bubblewrap ca-certificates chromium fonts-liberation git make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Nothing runs as root. On Linux, take your own number, so that you own what is written.
ARG UID=1000
RUN useradd --create-home --shell /bin/bash --uid "$UID" course
ENV LANG=C.UTF-8

FROM system AS course
USER course
WORKDIR /home/course/course
# the environment first: it is made anew only when what it rests on has changed
COPY --chown=course requirements.txt pyproject.toml README.md LICENSE NOTICE ./
COPY --chown=course tools tools
COPY --chown=course src/course_utils/__init__.py src/course_utils/
RUN python3 tools/bootstrap.py
COPY --chown=course . .
RUN make book
ENV PATH=/home/course/course/.venv/bin:$PATH
EXPOSE 8000 8888
CMD ["course", "doctor"]
