# Bellwether's image: one static program, whom it trusts, and nothing else. Build it from the top of the repository:
#
#   docker build --tag bellwether:0.1.0 .
#
# Around a program that is there already, in `target/image` (`make image-program` puts it there):
#
#   docker build --build-arg FROM=made --tag bellwether:0.1.0 .
#
# Docker before 23 needs DOCKER_BUILDKIT=1 in the environment. It runs as the user 65532, needs no right, and writes nowhere but, with the embedded store, to /var/lib/bellwether.
ARG FROM=sources

FROM rust:1.95-bookworm AS sources
WORKDIR /sources
COPY . .
RUN cargo rustc --release --locked --bin bellwether -- -C target-feature=+crt-static \
  && mkdir --parents target/image/store \
  && cp target/release/bellwether /etc/ssl/certs/ca-certificates.crt target/image

FROM scratch AS made
COPY target/image /sources/target/image

FROM ${FROM} AS program

FROM scratch
COPY --from=program /sources/target/image/bellwether /usr/local/bin/bellwether
COPY --from=program /sources/target/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# An empty folder that is the program's own.
COPY --from=program --chown=65532:65532 /sources/target/image/store /var/lib/bellwether
USER 65532:65532
ENV PATH=/usr/local/bin
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 CMD ["bellwether", "healthcheck"]
ENTRYPOINT ["bellwether"]
CMD ["run"]
