#!/usr/bin/env bash
# Checks both sets of rules/, and alertmanager/, with the tools of the oldest and of the newest supported release.
# tests/servers/install.sh all must have run. Prints a line for each check; the output of one only if it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

servers=${XDG_CACHE_HOME:-$HOME/.cache}/bellwether/servers
routes=alertmanager/alertmanager.yml

check() {
  local label=$1 output
  shift
  output=$("$@" 2>&1) || {
    printf '%s\nFAILED  %s\n' "$output" "$label" >&2
    exit 1
  }
  printf 'ok  %s\n' "$label"
}

# route AMTOOL RECEIVERS LABEL…: the alert with these labels goes to exactly these receivers.
route() {
  local amtool=$1 receivers=$2
  shift 2
  check "$version routes {$*} to $receivers" \
    "$amtool" config routes test --config.file="$routes" --verify.receivers="$receivers" "$@"
}

for version in prometheus-2.42 prometheus-3.16; do
  promtool=$servers/$version/bin/promtool
  for rules in rules rules/kube-state-metrics rules/docker; do
    check "$version reads $rules/prometheus.yml and the rules" "$promtool" check config "$rules/prometheus.yml"
    for tests in "$rules"/tests/*.yaml; do
      check "$version passes $tests" "$promtool" test rules "$tests"
    done
  done
  check "$version reads compose/rules" "$promtool" check rules compose/rules/*.yaml
done
# What it reads beside itself is on the lab's volumes. Debian's release knows no discovery of Kubernetes'.
check "prometheus-3.16 reads compose/prometheus.yml" \
  "$servers/prometheus-3.16/bin/promtool" check config --syntax-only compose/prometheus.yml

for version in alertmanager-0.25 alertmanager-0.31; do
  amtool=$servers/$version/bin/amtool
  check "$version reads $routes" "$amtool" check-config "$routes"
  check "$version reads compose/alertmanager.yml" "$amtool" check-config compose/alertmanager.yml
  for ask in up down replace; do route "$amtool" bellwether,humans "autoscale=$ask" cluster=default; done
  route "$amtool" bellwether,nobody autoscale=watchdog cluster=default
  route "$amtool" humans autoscale=sideways
  route "$amtool" humans alertname=PrometheusBlind cluster=default
done
