# A server in an image that holds one file. To build it, nothing but this base image and the crates
# is fetched:
#   docker build -t piecemeal .
#   docker run --rm -p 127.0.0.1:9000:9000 -v uploads:/uploads piecemeal
FROM rust:1-alpine AS build
WORKDIR /src
COPY . .
# musl is linked in, so the program needs no system around it.
RUN cargo build --release --locked --bin piecemeal && mkdir /uploads

FROM scratch
COPY --from=build /src/target/release/piecemeal /piecemeal
# No user stands in a file here, so it is named by number: the one that owns nothing else.
COPY --from=build --chown=65534:65534 /uploads /uploads
USER 65534:65534
# It gives up the rest of what it doesn't need by itself, also in here; where the container's own
# rules hide a part of that (Landlock), the log has a warning.
ENV PIECEMEAL_BIND=0.0.0.0:9000 PIECEMEAL_DIR=/uploads
VOLUME /uploads
EXPOSE 9000
# It is process 1, and stops by SIGTERM as it does elsewhere.
ENTRYPOINT ["/piecemeal"]
CMD ["serve"]
