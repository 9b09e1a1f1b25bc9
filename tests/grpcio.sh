# Sourced by the scripts that call a gateway with Python's grpcio, after demo.sh.
# shellcheck shell=bash

readonly GRPCIO=1.76.0
readonly VENV="$PWD/.ci/tools/grpcio-$GRPCIO"

# install_grpcio: into .ci/tools, pinned; the code made from the contract is in $WORK/generated then.
install_grpcio() {
    if [[ ! -x $VENV/bin/python3 ]] || ! "$VENV/bin/python3" -c 'import grpc_status, grpc_tools' 2>/dev/null; then
        echo "installing grpcio $GRPCIO"
        python3 -m venv "$VENV"
        "$VENV/bin/pip" install --quiet --disable-pip-version-check \
            "grpcio==$GRPCIO" "grpcio-tools==$GRPCIO" "grpcio-status==$GRPCIO"
    fi
    mkdir "$WORK/generated"
    "$VENV/bin/python3" -m grpc_tools.protoc -I proto --python_out="$WORK/generated" \
        --grpc_python_out="$WORK/generated" chartbrew/connection/v1/connection_service.proto
}
