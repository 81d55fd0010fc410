#!/bin/sh
# Makes transform.pb.go from transform.proto, in this directory. Needs Go, Python 3 and the network; leaves nothing else behind.
set -eu
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check grpcio-tools==1.85.1
go build -o "$tools/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go # the version of go.mod
go run ./dependencies >"$tools/imports.pb"
"$tools/venv/bin/python" -m grpc_tools.protoc -I.. --descriptor_set_in="$tools/imports.pb" \
	--plugin="$tools/protoc-gen-go" --go_out=.. --go_opt=paths=source_relative transformpb/transform.proto
