# The database, on Debian. BASE: as in web.Dockerfile.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
USER root
RUN test -x /usr/lib/postgresql/15/bin/postgres || { \
        apt-get update && \
        apt-get install -y --no-install-recommends postgresql-15 && \
        rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15; \
    }
COPY --chmod=755 entrypoint /usr/local/bin/entrypoint
COPY pets.sql /srv/pets.sql
RUN mkdir -p /var/lib/postgresql/data /run/postgresql && \
    chown postgres:postgres /var/lib/postgresql /var/lib/postgresql/data /run/postgresql && \
    chmod 0750 /var/lib/postgresql/data
USER postgres
WORKDIR /var/lib/postgresql
EXPOSE 5432
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint"]
