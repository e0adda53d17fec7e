# The flows source this file. It gives them an empty home, the release programs and small repositories, and cleans up at the end.
# GUILD_BIN names the directory of the programs. The exit status 77 means that a flow was skipped, and its last line says why.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
bin=$(cd "$top" && cd "${GUILD_BIN:-target/release}" && pwd)
PATH="$bin:$PATH"
work=$(mktemp -d)
pids=()
on_exit=()
cleanup() {
  local status=$?
  set +e
  for command in "${on_exit[@]:-}"; do [ -z "$command" ] || eval "$command"; done
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || kill "$pid" 2>/dev/null; done
  sleep 0.3
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; done
  [ "$status" = 0 ] || [ "$status" = 77 ] || [ -z "${KEEP:-}" ] || { echo "kept $work"; exit "$status"; }
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
export HOME=$work/home XDG_CONFIG_HOME=$work/home/.config XDG_STATE_HOME=$work/home/.state GUILD_LOG=info
mkdir -p "$HOME"
git config --global user.name Tester; git config --global user.email tester@example.org
git config --global init.defaultBranch main; git config --global advice.detachedHead false

skip() { echo "$*"; exit 77; }
fail() { echo "FAILED: $*"; for f in "$work"/*.log; do echo "--- $f"; tail -n 25 "$f"; done; echo "FAILED: $*"; exit 1; }

repo() { # NAME: makes a repository whose guild.toml is standard input
  mkdir -p "$work/$1"; git -C "$work/$1" init -q
  cat > "$work/$1/guild.toml"
  git -C "$work/$1" add -A; git -C "$work/$1" commit -qm "first"
}

free_port() { # prints a port on which nobody listens; the system chooses it if python3 is there to ask
  local port
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null && return
  while :; do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

press() { # ADDRESS COOKIES: presses the button of a login's page, and keeps the cookie in the file COOKIES
  local site
  site=$(cut -d/ -f1-3 <<<"$1")
  curl -s "$1" | grep -q 'method="post"' && [ "$(curl -s -o /dev/null -w '%{http_code}' -c "$2" -X POST -H "Origin: $site" "$1")" = 303 ]
}

await() { # SECONDS COMMAND...: waits until COMMAND succeeds, for at most SECONDS
  local tries=$(($1 * 10)); shift
  for _ in $(seq "$tries"); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done
  return 1
}
