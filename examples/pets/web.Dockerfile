# The web page, on Debian. BASE: anything with Debian's packages; what it has already is not installed again.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
USER root
RUN command -v node >/dev/null || { \
        apt-get update && \
        apt-get install -y --no-install-recommends nodejs node-express node-pg && \
        rm -rf /var/lib/apt/lists/*; \
    }
RUN id -u node >/dev/null 2>&1 || useradd --uid 1000 --home-dir /srv --shell /bin/sh node
ENV NODE_ENV=production
WORKDIR /srv
COPY server.js ./
USER node
EXPOSE 3000
CMD ["node", "server.js"]
