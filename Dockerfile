# An image with nothing in it but the broker. It runs as a user without rights and keeps its data in the volume /data.
#
#   docker build -t posthaste .
#   docker run -p 8085:8085 -v posthaste:/data posthaste

ARG GO_VERSION=1.26
FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/posthaste ./cmd/posthaste
RUN mkdir /out/data

FROM scratch
# Push subscriptions call endpoints over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/posthaste /posthaste
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV POSTHASTE_LISTEN=:8085 POSTHASTE_DATA=/data
VOLUME /data
EXPOSE 8085
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --start-interval=200ms CMD ["/posthaste", "health"]
ENTRYPOINT ["/posthaste"]
CMD ["serve"]
