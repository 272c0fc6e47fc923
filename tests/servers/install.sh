#!/usr/bin/env bash
# Installs the real servers that the demo and the tests run on. No root, no system service, nothing outside one folder.
#
#   tests/servers/install.sh demo    what `make demo` needs: the oldest supported Prometheus and Alertmanager
#   tests/servers/install.sh all     everything that `make test` needs
#   tests/servers/install.sh NAME…   single ones, by the names below
#
# Layout, for whoever starts them ($CACHE is ${XDG_CACHE_HOME:-$HOME/.cache}/bellwether/servers):
#
#   $CACHE/prometheus-2.42/bin/{prometheus,promtool}      Debian's package, unpacked
#   $CACHE/alertmanager-0.25/bin/{alertmanager,amtool}    Debian's package, unpacked
#   $CACHE/redis-7.0/bin/{redis-server,redis-cli}         Debian's package, unpacked; lib/clock.so lets tests move its clock
#   $CACHE/prometheus-3.16/bin/{prometheus,promtool}      built with Go
#   $CACHE/alertmanager-0.31/bin/{alertmanager,amtool}    built with Go
#   $CACHE/kwok-0.8/bin/kwok                              built with Go; share/stages.yaml is how its nodes and pods live
#   $CACHE/control-plane-1.36/bin/control-plane           tests/controlplane, built with Go: its first argument is etcd,
#                                                         kube-apiserver, kube-scheduler, kube-controller-manager or kubelet
#   $CACHE/docker-20.10/bin/{dockerd,docker}              Debian's package, unpacked; secluded-dockerd runs it apart
#   $CACHE/worker-image-12/share/worker.tar               tests/worker: the root file system of a real worker's container, of
#                                                         Debian 12's containerd and runc; the kubelet is the control plane's
#   $CACHE/lab-image-12/share/lab.tar                     the root file system of what stands for images of compose/: Debian 12's
#                                                         Redis, HAProxy and Python
#   $CACHE/compose-1.29/bin/docker-compose                Debian's package, unpacked: the last docker-compose of version 1
#   $CACHE/compose-2.40/bin/docker-compose                tests/compose, built with Go: `docker compose`
#   $CACHE/moto-5.2/bin/moto_server                       a Python program: it plays AWS's APIs
#
# A folder appears by one rename, when it is complete and its programs have told the right version: what is there
# can be used. Run it as often as you like; two at once wait for each other.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly DEMO=(prometheus-2.42 alertmanager-0.25)
readonly ALL=("${DEMO[@]}" redis-7.0 docker-20.10 worker-image-12 lab-image-12 compose-1.29 alertmanager-0.31
  prometheus-3.16 kwok-0.8 compose-2.40 control-plane-1.36 moto-5.2)

# What moto needs, in the versions that were tried; it asks for hardly any by itself.
readonly MOTO=(annotated-types==0.8.0 antlr4-python3-runtime==4.13.2 attrs==26.1.0 aws-xray-sdk==2.15.0 blinker==1.9.0
  boto3==1.44.8 botocore==1.44.8 certifi==2026.10.19.post1 cffi==2.1.1 cfn-lint==1.58.0 charset-normalizer==3.5.3
  click==8.5.1 cryptography==50.0.2 docker==7.2.0 Flask==3.1.3 flask-cors==6.0.5 graphql-core==3.3.2 idna==3.20
  itsdangerous==2.2.0 Jinja2==3.1.6 jmespath==1.1.0 joserfc==1.8.0 jsonpatch==1.48 jsonpath-ng==1.16.0
  jsonpointer==3.12 jsonschema==4.26.0 jsonschema-path==0.5.0 jsonschema-specifications==2025.9.1
  lazy-object-proxy==1.13.0 MarkupSafe==3.0.4 mpmath==1.3.0 networkx==3.6.1 openapi-schema-validator==0.9.0
  openapi-spec-validator==0.9.0 pathable==0.6.0 py-partiql-parser==0.6.3 pycparser==3.12 pydantic==2.14.4
  pydantic_core==2.50.5 pydantic-settings==2.16.3 pyparsing==3.3.3 python-dateutil==2.9.0.post0 python-dotenv==1.2.4
  PyYAML==6.0.4 referencing==0.37.0 regex==2026.11.19 requests==2.34.2 responses==0.26.3 rfc3339-validator==0.1.4
  rpds-py==2026.9.1 s3transfer==0.19.3 six==1.17.0 sympy==1.14.0 typing_extensions==4.16.0 typing-inspection==0.4.5
  urllib3==2.8.0 Werkzeug==3.1.9 wrapt==2.5.2 xmltodict==1.0.4)

say() { printf '[servers] %s\n' "$*"; }
die() { printf '[servers] %s\n' "$@" >&2; exit 1; }

# need PROGRAM WHAT-TO-DO
need() { command -v "$1" >/dev/null || die "$name needs \`$1\`, which is not installed." "$2"; }

# The programs of a server, and the version that each must tell.
programs() {
  case $1 in
    prometheus-*) echo prometheus promtool ;;
    alertmanager-*) echo alertmanager amtool ;;
    redis-*) echo redis-server redis-cli ;;
    kwok-*) echo kwok ;;
    control-plane-*) echo control-plane ;;
    docker-*) echo dockerd docker ;;
    compose-*) echo docker-compose ;;
    moto-*) echo moto_server ;;
  esac
}
version() {
  case $1 in
    prometheus-3.16) echo 3.16.0 ;; # released as Go module v0.316.0
    alertmanager-0.31) echo 0.31.1 ;;
    kwok-0.8) echo 0.8.0 ;;
    moto-5.2) echo 5.2.5 ;;
    compose-2.40) echo v2.40.3 ;;
    control-plane-1.36) echo "1.36.3, sources $(sources controlplane)" ;; # one of older sources is built anew
    *) echo "${1##*-}" ;; # Debian's patch level may move
  esac
}

# sources FOLDER: what is built from a folder beside this one, in short.
sources() (
  cd "$here/../$1"
  case $1 in
    controlplane) cat go.mod go.sum main.go ;;
    lab) declare -f lab_image ;;
    worker) cat entrypoint containerd.toml pods.conflist pause.c && declare -f worker_image image ;;
  esac | sha256sum | cut -c1-12
)

# How each program introduces its version.
introduction() {
  case $1 in
    redis-server) echo "Redis server v=" ;;
    redis-cli) echo "redis-cli " ;;
    kwok | control-plane) echo "version v" ;;
    *) echo "version " ;;
  esac
}

# complete DIR NAME: whether DIR holds every program of NAME in its right version.
complete() {
  local program told
  for program in $(programs "$2"); do
    [[ -x $1/bin/$program ]] || return 1
    told=$("$1/bin/$program" --version 2>&1) || return 1
    [[ $told == *"$(introduction "$program")$(version "$2")"* ]] || return 1
  done
  [[ $2 != alertmanager-0.25 || -r $1/share/default.tmpl ]] || return 1
  [[ $2 != kwok-* || -r $1/share/stages.yaml ]] || return 1
  [[ $2 != worker-image-* || -r $1/share/worker.tar && $(cat "$1/share/sources") == "$(sources worker)" ]] || return 1
  [[ $2 != lab-image-* || -r $1/share/lab.tar && $(cat "$1/share/sources") == "$(sources lab)" ]] || return 1
  [[ $2 != redis-* || -r $1/lib/clock.so ]]
}

# watched LABEL COMMAND…: runs it with its output in $work/log, tells every ten seconds that it is still at work,
# and shows the end of the output if it fails.
watched() {
  local label=$1 begin=$SECONDS
  shift
  "$@" >>"$work/log" 2>&1 9>&- & # without the lock, which must end with us
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - begin >= 10)); then
      begin=$SECONDS
      say "$name: $label, $((SECONDS - started)) s so far, $(wc -l <"$work/log") lines of output"
    fi
  done
  wait "$pid" || {
    pid=
    tail -n 25 "$work/log" >&2
    die "$name: $label failed."
  }
  pid=
}

# debian PACKAGE…: unpacks them into $work/root. Package lists of our own where the system's are empty or stale.
debian() {
  local package hint="The servers of the demo are Debian 12's packages, so it runs on Debian 12 (a container will do)."
  local private=("-oDir::State=$work/apt/state" "-oDir::State::lists=$work/apt/state/lists"
    "-oDir::State::status=/var/lib/dpkg/status" "-oDir::Cache=$work/apt/cache"
    "-oAPT::Sandbox::User=$(id -un)")
  need apt-get "$hint"
  need dpkg "$hint"
  rm -rf "$work/deb"
  mkdir -p "$work/deb" "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial"
  cd "$work/deb"
  if ! apt-get download -q "-oAPT::Sandbox::User=$(id -un)" "$@" >>"$work/log" 2>&1; then
    # A source that fails is no matter as long as the package is found in another.
    watched "reading the package lists" sh -c 'apt-get "$@" update || true' sh "${private[@]}"
    watched "downloading" apt-get download -q "${private[@]}" "$@"
  fi
  for package in ./*.deb; do watched "unpacking" dpkg -x "$package" "$work/root"; done
  cd - >/dev/null
}

# build MODULE@VERSION VARIABLE=VERSION TAGS COMMAND…: `go install` with the version written in, as a release has it.
build() {
  local module=$1 version=$2 tags=$3 commands=() command
  shift 3
  need_go
  for command in "$@"; do commands+=("${module%@*}/cmd/$command@${module#*@}"); done
  watched "building with $(go env GOVERSION)" env CGO_ENABLED=0 GOBIN="$work/out/bin" GOFLAGS= \
    go install -v -tags "$tags" -ldflags "-s -w -X $version" "${commands[@]}"
}

need_go() { need go "Install Go 1.26 or later from https://go.dev/dl and put it on the PATH."; }

# Builds tests/controlplane. The versions are those that `kubectl version` shows, and its own.
build_control_plane() {
  local version=k8s.io/component-base/version
  need_go
  watched "building with $(go env GOVERSION)" env CGO_ENABLED=0 GOFLAGS= GOWORK=off \
    go build -C "$here/../controlplane" -v -trimpath -buildvcs=false -o "$work/out/bin/control-plane" \
    -ldflags "-s -w -X $version.gitVersion=v1.36.3 -X $version.gitMajor=1 -X $version.gitMinor=36 -X main.sources=$(sources controlplane)" .
}

# Builds Docker Compose, which `go install` refuses: its module excludes others.
build_compose() {
  local module=github.com/docker/compose/v2
  need_go
  watched "building with $(go env GOVERSION)" env CGO_ENABLED=0 GOFLAGS= GOWORK=off \
    go build -C "$here/../compose" -v -trimpath -buildvcs=false -o "$work/out/bin/docker-compose" \
    -ldflags "-s -w -X $module/internal.Version=v2.40.3" "$module/cmd"
}

# Debian's, for whatever Python is there: all of it is Python, and where it is compiled for another release there is Python instead.
install_compose() {
  local packages=(docker-compose) package
  need python3 "Debian has it in python3."
  for package in docker dockerpty docopt dotenv jsonschema requests texttable websocket yaml urllib3 chardet idna certifi pyrsistent \
    attr six cached-property distro pkg-resources; do
    packages+=("python3-$package")
  done
  debian "${packages[@]}"
  mkdir -p "$work/out/lib" "$work/out/libexec"
  cp -r "$work"/root/usr/lib/python3/dist-packages/. "$work/out/lib"
  mv "$work/root/usr/bin/docker-compose" "$work/out/libexec"
  cat >"$work/out/bin/docker-compose" <<'EOF'
#!/bin/sh
# Written by tests/servers/install.sh (install_compose).
root=$(dirname "$(dirname "$(readlink -f "$0")")")
PYTHONPATH="$root/lib" PYTHONSAFEPATH=1 exec python3 -s "$root/libexec/docker-compose" "$@"
EOF
  chmod +x "$work/out/bin/docker-compose"
}

# stages MODULE@VERSION FOLDER…: kwok's rules for nodes and pods, from the folders of its module.
stages() {
  local module=$1 folder file
  shift
  module=$(GOFLAGS='' go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  mkdir -p "$work/out/share"
  for folder in "$@"; do
    for file in "$module/kustomize/stage/$folder"/*.yaml; do
      [[ $file == */kustomization.yaml ]] || { echo --- && cat "$file"; }
    done
  done >"$work/out/share/stages.yaml"
}

# relocate PROGRAM FOLDER: Debian's build reads its templates from FOLDER, fixed in the program, and refuses to start
# without them; putting them there would need root. So the path in our copy becomes one of the same length that leads
# to file descriptor 8, and a script in the program's place opens ../share as that. It execs: the process id stays.
relocate() {
  local program=$work/out/bin/$1 folder=$2 path=/proc/self/fd/8
  while ((${#path} < ${#folder})); do path+=/; done
  cp -r "$work/root$folder" "$work/out/share"
  mkdir -p "$work/out/libexec"
  LC_ALL=C sed "s#$folder#$path#g" "$program" >"$work/out/libexec/$1"
  cat >"$program" <<EOF
#!/bin/sh
# Written by tests/servers/install.sh, which says why (relocate).
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec 8<"\$root/share"
exec "\$root/libexec/$1" "\$@"
EOF
  chmod +x "$program" "$work/out/libexec/$1"
}

# accompany PROGRAM: the libraries that it needs are in ../lib and may be nowhere else, so a script in its place says so.
# It execs: the process id stays.
accompany() {
  local program=$work/out/bin/$1
  mkdir -p "$work/out/libexec"
  mv "$program" "$work/out/libexec/$1"
  cat >"$program" <<EOF
#!/bin/sh
# Written by tests/servers/install.sh, which says why (accompany).
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH=\$root/lib exec "\$root/libexec/$1" "\$@"
EOF
  chmod +x "$program"
}

# install_moto: with pip, from wherever it is set up to take packages. Packages that are compiled fit one release of Python only, so
# the script in bin keeps to the one that installed them; it execs: the process id stays. Its `--version` loads all that it needs.
install_moto() {
  local python hint="Debian has it in python3-pip."
  need python3 "$hint"
  python3 -m pip --version >/dev/null 2>&1 || die "$name needs pip, which is not installed." "$hint"
  python=$(python3 -c 'import sys; print(sys.executable)')
  printf '%s\n' "${MOTO[@]}" >"$work/constraints"
  watched "installing with $(python3 --version)" python3 -m pip install --no-input --disable-pip-version-check \
    --no-warn-conflicts --target "$work/out/lib" --constraint "$work/constraints" 'moto[server]==5.2.5'
  rm -rf "$work/out/lib/bin" # they name folders that are gone
  cat >"$work/out/bin/moto_server" <<EOF
#!/bin/sh
# Written by tests/servers/install.sh, which says why (install_moto).
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
export PYTHONPATH="\$root/lib" PYTHONSAFEPATH=1
# As AWS does, it refuses types and images that it does not know.
export MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true MOTO_ENABLE_AMI_VALIDATION=true
[ "\$1" != --version ] || exec "$python" -s -c 'import moto.server, moto.ec2.models; print("version", moto.__version__)'
exec "$python" -s -m moto.server "\$@"
EOF
  chmod +x "$work/out/bin/moto_server"
}

# worker_image: the root file system of a worker, from Debian's packages alone, so that neither root nor a mirror's script is needed.
worker_image() {
  local root=$work/root program
  debian busybox-static containerd runc containernetworking-plugins iptables mount util-linux libc6 libseccomp2 libip4tc2 libip6tc2 \
    libxtables12 libmount1 libblkid1 libselinux1 libpcre2-8-0 libsmartcols1
  need cc "Install a C compiler; Rust links with it too."
  rm -rf "$root"/usr/share/{doc,man,locale,bash-completion,gocode}
  mkdir -p "$root"/{images,tmp,proc,sys,dev,run,root,etc/containerd,etc/cni/net.d,usr/local/bin,var/lib,var/log}
  watched "building a pause" cc -static -O1 -Wall -o "$work/pause" "$here/../worker/pause.c"
  mkdir -p "$work/files/pause" "$work/files/busybox/bin" "$work/files/busybox/tmp"
  cp "$work/pause" "$work/files/pause"
  cp "$root/bin/busybox" "$work/files/busybox/bin"
  for program in cat echo sh sleep wget; do ln -s busybox "$work/files/busybox/bin/$program"; done
  image pause '["/pause"]' >"$root/images/pause.tar"
  image busybox '[]' busybox:1.37.0 >"$root/images/busybox.tar"
  cp "$here/../worker/entrypoint" "$root"
  cp "$here/../worker/containerd.toml" "$root/etc/containerd/config.toml"
  cp "$here/../worker/pods.conflist" "$root/etc/cni/net.d"
  for program in ip{,6}tables{,-save,-restore}; do ln -sf xtables-legacy-multi "$root/usr/sbin/$program"; done
  echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
  echo root:x:0: >"$root/etc/group"
  echo 62656c6c776574686572206120776b72 >"$root/etc/machine-id"
  mkdir -p "$work/out/share"
  watched "packing" tar -C "$root" --owner=0 --group=0 -cf "$work/out/share/worker.tar" .
  sources worker >"$work/out/share/sources"
}

# lab_image: the root file system of the programs of compose/ that are Debian's here.
lab_image() {
  debian busybox-static libc6 redis-tools liblzf1 libjemalloc2 libatomic1 libssl3 libsystemd0 liblzma5 libzstd1 liblz4-1 libcap2 \
    libgcrypt20 libgpg-error0 haproxy libopentracing-c-wrapper0 libopentracing1 liblua5.1-0 liblua5.3-0 libpcre2-8-0 libcrypt1 libstdc++6 \
    libgcc-s1 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib zlib1g libexpat1
  rm -rf "$work"/root/usr/share/{doc,man,locale,lintian}
  # One program under several names; the package of the server is a link to it, and a service.
  ln -s redis-check-rdb "$work/root/usr/bin/redis-server"
  mkdir -p "$work/root"/{tmp,proc,sys,dev,run,etc} "$work/out/share"
  echo root:x:0:0:root:/root:/bin/sh >"$work/root/etc/passwd"
  watched "packing" tar -C "$work/root" --owner=0 --group=0 -cf "$work/out/share/lab.tar" .
  sources lab >"$work/out/share/sources"
}

# image NAME ENTRYPOINT [TAG]: the files of $work/files/NAME as the image local/NAME:1, and of that tag too, as `docker save` would write it.
image() {
  local name=$1 entrypoint=$2 tag=${3:-local/$1:1} folder=$work/image-$1 layer
  mkdir -p "$folder"
  tar -C "$work/files/$name" --owner=0 --group=0 -cf "$folder/layer.tar" .
  layer=$(sha256sum "$folder/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$entrypoint" "$layer" >"$folder/config.json"
  printf '[{"Config":"config.json","RepoTags":["local/%s:1","%s"],"Layers":["layer.tar"]}]' "$name" "$tag" >"$folder/manifest.json"
  tar -C "$folder" -c manifest.json config.json layer.tar
}

# Puts the programs into $work/out/bin.
make_it() {
  local prometheus=github.com/prometheus/common/version.Version
  case $name in
    prometheus-2.42)
      debian prometheus
      mv "$work"/root/usr/bin/{prometheus,promtool} "$work/out/bin"
      ;;
    alertmanager-0.25)
      debian prometheus-alertmanager
      mv "$work/root/usr/bin/prometheus-alertmanager" "$work/out/bin/alertmanager"
      mv "$work/root/usr/bin/amtool" "$work/out/bin"
      relocate alertmanager /usr/share/prometheus/alertmanager
      ;;
    redis-7.0)
      # One program under several names; the package of the server is a link to it, and a service.
      debian redis-tools liblzf1 libjemalloc2 libatomic1
      mv "$work/root/usr/bin/redis-check-rdb" "$work/out/bin/redis-server"
      mv "$work/root/usr/bin/redis-cli" "$work/out/bin"
      cp -r "$work"/root/usr/lib/*-linux-gnu "$work/out/lib"
      accompany redis-server
      accompany redis-cli
      need cc "Install a C compiler; Rust links with it too."
      watched "building the clock" cc -O1 -Wall -shared -fPIC -o "$work/out/lib/clock.so" "$here/clock.c"
      ;;
    docker-20.10)
      # What is not in every Debian is there with its libraries, so that no package of the machine is changed.
      debian docker.io containerd runc iptables iproute2 libip4tc2 libip6tc2 libxtables12 libdevmapper1.02.1 libbpf1 libelf1 libmnl0 libbsd0
      for program in {,s}bin/{docker,containerd,containerd-shim-runc-v2,dockerd,docker-proxy,runc,xtables-legacy-multi,ip}; do
        for place in "$work/root/usr/$program" "$work/root/$program"; do
          [[ ! -f $place || -L $place ]] || mv "$place" "$work/out/bin"
        done
      done
      mkdir -p "$work/out/lib"
      cp -r "$work"/root/{,usr/}lib/*-linux-gnu/. "$work/out/lib"
      for program in dockerd docker; do accompany "$program"; done
      mv "$work"/out/bin/{containerd,containerd-shim-runc-v2,docker-proxy,runc,xtables-legacy-multi,ip} "$work/out/libexec"
      for program in ip{,6}tables{,-save,-restore}; do ln -s xtables-legacy-multi "$work/out/libexec/$program"; done
      ;;
    worker-image-12)
      worker_image
      ;;
    lab-image-12)
      lab_image
      ;;
    compose-1.29)
      install_compose
      ;;
    compose-2.40)
      build_compose
      ;;
    prometheus-3.16)
      # Without the tags a discovery module is missing; file, HTTP and static discovery are always there.
      build github.com/prometheus/prometheus@v0.316.0 "$prometheus=3.16.0" remove_all_sd,enable_kubernetes_sd prometheus promtool
      ;;
    alertmanager-0.31)
      build github.com/prometheus/alertmanager@v0.31.1 "$prometheus=0.31.1" "" alertmanager amtool
      ;;
    kwok-0.8)
      build sigs.k8s.io/kwok@v0.8.0 sigs.k8s.io/kwok/pkg/consts.Version=0.8.0 "" kwok
      stages sigs.k8s.io/kwok@v0.8.0 node/fast node/heartbeat-with-lease pod/fast
      ;;
    control-plane-1.36)
      build_control_plane
      ;;
    moto-5.2)
      install_moto
      ;;
  esac
}

# One server, under its lock. A subshell, so that its lock, trap and folder end with it.
install() (
  name=$1 started=$SECONDS pid=
  exec 9>"$cache/.$name.lock"
  flock --nonblock 9 || { say "$name: another run installs it, waiting" && flock 9; }
  if complete "$cache/$name" "$name"; then
    say "$name: there"
    exit
  fi
  # Beside the goal, as a rename works within one file system only. What a killed run left is swept up.
  rm -rf "$cache/.$name".*.part
  work=$(mktemp -d "$cache/.$name.XXXXXX.part")
  # A background child of a script does not hear Ctrl-C, so it is told.
  trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  mkdir -p "$work/out/bin"
  say "$name: installing"
  make_it
  complete "$work/out" "$name" ||
    die "$name: the programs that were installed tell another version than $(version "$name"):" \
      "$("$work/out/bin/$(programs "$name" | cut -d' ' -f1)" --version 2>&1 | head -1)"
  rm -rf "${cache:?}/$name"
  mv "$work/out" "$cache/$name"
  say "$name: ready after $((SECONDS - started)) s"
)

usage() {
  die "usage: $0 demo | all | NAME…" "names: ${ALL[*]}"
}

names=()
for argument in "$@"; do
  case $argument in
    demo) names+=("${DEMO[@]}") ;;
    all) names+=("${ALL[@]}") ;;
    *)
      [[ " ${ALL[*]} " == *" $argument "* ]] || usage
      names+=("$argument")
      ;;
  esac
done
((${#names[@]})) || usage

cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME, so that there is a place for the cache}/.cache}/bellwether/servers
mkdir -p "$cache"
name=install.sh
need flock "Install util-linux."
for one in "${names[@]}"; do install "$one"; done
for one in "${names[@]}"; do
  for program in $(programs "$one"); do echo "$cache/$one/bin/$program"; done
done
