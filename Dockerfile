# The three programs in one small image; docs/container.md says how it is run. Build it where this file is:
#   docker build -t guild:local .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# all members of the workspace: cargo reads their manifests, whichever it builds
COPY Cargo.toml Cargo.lock ./
COPY schema schema
COPY master master
COPY worker worker
COPY client client
COPY tests tests
RUN cargo build --profile dist --bins --locked -p command -p master -p worker

FROM debian:bookworm-slim
# git and ssh fetch repositories; certificates are for HTTPS and mail
RUN apt-get update \
    && apt-get install -y --no-install-recommends git ca-certificates openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/dist/guild /src/target/dist/guild-master /src/target/dist/guild-worker /usr/local/bin/
RUN useradd --uid 7711 --user-group --home-dir /srv/guild --shell /usr/sbin/nologin guild \
    && install -d -o guild -g guild -m 0700 /srv/guild
USER guild
WORKDIR /srv/guild
# the master file, credentials and everything that a master or a worker keeps
VOLUME /srv/guild
ENV XDG_STATE_HOME=/srv/guild
EXPOSE 7711 8080
# with pages on port 8080, they are asked; a master without pages and a worker are well while they run
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["bash", "-c", "grep -Eqs '^ *web *=.*:8080\"' /srv/guild/master.toml || exit 0; exec 3<>/dev/tcp/127.0.0.1/8080 || exit 1; printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; read -r _ status _ <&3; [ \"$status\" = 200 ]"]
CMD ["guild-master", "run"]
