#!/bin/sh
# Run by the service `setup`, with the rights of the cluster's administrator: makes an account for everybody who needs one, and puts what
# each may have into a volume of its own. Run again, as whenever the lab is started, it renews tokens and changes nothing else.
set -eu
umask 077
server=https://k3s-server:6443

ask() { kubectl "--server=$server" "$@"; }

# persist COMMAND…: until it succeeds, for a minute. A cluster that says that it is ready still makes its first namespaces.
persist() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { echo "for a minute in vain: $*" >&2 && exit 1; }
    sleep 1
  done
}

# of ACCOUNT: a token of it, for a year. `make lab` runs this anew, and so makes another.
of() { persist ask create token "$1" --namespace=bellwether --duration=8760h; }

# give NAME FILE: what is read becomes a file of a service, by its image's user; whole, or not at all.
give() {
  user=65534
  [ "$1" != bellwether ] || user=65532
  chown "$user:$user" "/for/$1"
  cat >"/for/$1/.$2"
  chown "$user:$user" "/for/$1/.$2"
  mv "/for/$1/.$2" "/for/$1/$2"
}

persist ask apply --filename=/lab/manifests-of-bellwether
persist ask apply --filename=/lab/manifests

authority=$(kubectl config view --raw --output=jsonpath='{.clusters[0].cluster.certificate-authority-data}')
echo "$authority" | base64 -d | give prometheus server-ca.crt
token=$(of prometheus)
echo "$token" | give prometheus token

token=$(of bellwether)
give bellwether kubeconfig <<EOF
apiVersion: v1
kind: Config
clusters: [{ name: lab, cluster: { server: "$server", certificate-authority-data: "$authority" } }]
users: [{ name: bellwether, user: { token: "$token" } }]
contexts: [{ name: lab, context: { cluster: lab, user: bellwether } }]
current-context: lab
EOF
give bellwether k3s-token </var/lib/rancher/k3s/server/agent-token
echo "$REDIS_PASSWORD" | give bellwether redis-password
echo "$WEBHOOK_TOKEN" | give bellwether webhook-token
echo "$VIEWER_TOKEN" | give bellwether viewer-token
echo "$OPERATOR_TOKEN" | give bellwether operator-token
echo "$VIEWER_TOKEN" | give prometheus bellwether-token
echo "$WEBHOOK_TOKEN" | give alertmanager bellwether-token

echo "everybody has what they need"
