#!/bin/bash
# User data of a worker on EC2: makes the machine a k3s agent that is known by its instance id (docs/ec2.md says what the node must
# have). It needs bash, curl, systemd and the AWS CLI, as Amazon Linux 2023 has them. What it says is on the console too, whose end
# Bellwether keeps of a machine that did not join.
set -euf -o pipefail

K3S_VERSION='v1.33.5+k3s1' # the version of your server
TOKEN_PARAMETER='/k3s/join-token'
SERVER_PARAMETER='/k3s/master-ip'
# ROOT and DEADLINE are given by a test alone, whose machine is not to be touched.
TOKEN_FILE="${ROOT:-}/etc/rancher/k3s/agent-token"
CONSOLE="${ROOT:-}/dev/console"
DEADLINE=${DEADLINE:-240} # seconds for all of it; the pool's join_deadline is longer

METADATA='http://169.254.169.254/latest'

say() {
  echo "bellwether: $*"
  echo "bellwether: $*" 2>/dev/null >"$CONSOLE" || true
}

fail() {
  say "$*"
  exit 1
}

# Until it succeeds or the time is over.
retry() {
  until "$@"; do
    ((SECONDS < DEADLINE)) || return 1
    sleep 2
  done
}

# --- What this machine is

header=$(mktemp)
installer=$(mktemp)
trap 'rm -f "$header" "$installer"' EXIT

session() {
  local token
  token=$(curl -fsS --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' "$METADATA/api/token") || return
  echo "X-aws-ec2-metadata-token: $token" >"$header"
}

metadata() {
  curl -fsS --max-time 5 --retry 5 -H "@$header" "$METADATA/meta-data/$1"
}

# Empty where there is no such tag.
tag() {
  if grep -qxF "$1" <<<"$tags"; then metadata "tags/instance/$1"; fi
}

silent='the instance metadata does not answer'
retry session || fail "$silent"
id=$(metadata instance-id) || fail "$silent"
zone=$(metadata placement/availability-zone) || fail "$silent"
region=$(metadata placement/region) || fail "$silent"
shape=$(metadata instance-type) || fail "$silent"
tags=$(metadata tags/instance) || fail 'the metadata has no tags: set InstanceMetadataTags to enabled'
pool=$(tag bellwether:pool) || fail "$silent"
labels=$(tag bellwether:node-labels) || fail "$silent"
taints=$(tag bellwether:node-taints) || fail "$silent"
[[ -n $pool ]] || fail 'the tag bellwether:pool is not there: this is no worker of a pool'

# --- What it joins with

parameter() {
  aws ssm get-parameter --region "$region" --name "$1" --with-decryption --query Parameter.Value --output text
}

# It is in this file alone: on no command line, in no variable of the environment, in no log.
read_token() {
  parameter "$TOKEN_PARAMETER" | tr -d '[:space:]' >"$TOKEN_FILE"
}

read_server() {
  server=$(parameter "$SERVER_PARAMETER")
}

install -D -m 600 /dev/null "$TOKEN_FILE"
retry read_token || fail "the parameter $TOKEN_PARAMETER cannot be read"
# With the hash of the server's authority in its token an agent knows its server; without, it would believe any.
grep -q '^K10' "$TOKEN_FILE" || fail "the parameter $TOKEN_PARAMETER does not begin with K10: take the whole token"
retry read_server || fail "the parameter $SERVER_PARAMETER cannot be read"

# Whether somebody listens; who that is, the agent finds out by its token.
answers() {
  # shellcheck disable=SC2016 # the inner shell expands it
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/6443"' answers "$server" 2>/dev/null
}

retry answers || fail "nobody answers at $server:6443"

# --- The agent

fetch() {
  curl -fsSL --max-time 30 --proto '=https' --tlsv1.2 -o "$installer" https://get.k3s.io
}

arguments=(
  --server "https://$server:6443"
  --token-file "$TOKEN_FILE"
  --node-name "$id"
  --node-label "bellwether.dev/pool=$pool"
  --node-label "bellwether.dev/worker=$id"
  --node-label "topology.kubernetes.io/zone=$zone"
  --node-label "node.kubernetes.io/instance-type=$shape"
  "--kubelet-arg=provider-id=aws:///$zone/$id"
)
for label in $labels; do arguments+=(--node-label "$label"); done
for taint in $taints; do arguments+=(--node-taint "$taint"); done

# The installer holds the binary against the checksum of its release.
retry fetch || fail 'the installer of k3s cannot be had'
INSTALL_K3S_VERSION="$K3S_VERSION" INSTALL_K3S_SKIP_START=true sh "$installer" agent "${arguments[@]}" ||
  fail "k3s $K3S_VERSION cannot be installed"
systemctl start --no-block k3s-agent

runs() {
  curl -fsS --max-time 3 -o /dev/null http://127.0.0.1:10248/healthz 2>/dev/null
}

if ! retry runs; then
  journalctl --unit k3s-agent --no-pager --output cat --lines 20 2>/dev/null >"$CONSOLE" || true
  fail 'the kubelet does not run'
fi
say "$id is a worker of $pool"
