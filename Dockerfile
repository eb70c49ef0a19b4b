# Builds the Debian package in one stage and installs it, with what it depends on and nothing else, in
# the other:
#
#     docker build -t gwen-cpu .
#     docker run --rm -v "$PWD:/work" gwen-cpu info
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make dpkg-dev
COPY . /src
WORKDIR /src
RUN make deps && make -j"$(nproc)" deb

FROM debian:bookworm-slim
COPY --from=build /src/build/gwen-cpu_*.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends /tmp/gwen-cpu_*.deb && \
    rm -rf /var/lib/apt/lists/* /tmp/gwen-cpu_*.deb
WORKDIR /work
ENTRYPOINT ["gwen-cpu"]
