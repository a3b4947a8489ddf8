#!/bin/sh
# Runs tests in guests for a CI service: action.yml (GitHub) and gitlab.yml call it. All that it is told comes by the environment:
#
#   RETRAP_VERSION    version of retrap for npm, where this script does not lie in that package; default latest
#   RETRAP_TESTS      files of `retrap test`, one a line
#   RETRAP_EXEC       in their place: a command line for a shell in a guest, by `retrap exec`
#   RETRAP_EXPLORE    in their place: the file of a cluster for `retrap cluster explore`, such as compose.yaml
#   RETRAP_OPTIONS    words for `retrap exec`, such as `--share .`, or for `retrap cluster explore`, such as `--seed 7 --for 300`
#   RETRAP_STAY       time for which a process stays for later runs of `retrap exec`, such as 10m; default none
#   RETRAP_RESULTS    the folder of results, below the current one; default retrap-results
#   RETRAP_ARTIFACT   the name that the service keeps the folder by, for GitHub; default retrap-results
#
# `run.sh prepare` checks them, and tells GitHub the version and the cache's folder; `run.sh` runs the tests, and tells what is kept. Its exit code is
# retrap's: 1 where a test has failed.
set -eu
umask 022
# Ranges of characters are those of ASCII.
export LC_ALL=C

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=${RETRAP_VERSION:-latest}
tests=${RETRAP_TESTS:-}
exec=${RETRAP_EXEC:-}
explore=${RETRAP_EXPLORE:-}
results=${RETRAP_RESULTS:-retrap-results}
cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/retrap
artifact=${RETRAP_ARTIFACT:-retrap-results}
# A job's summary may have 1 MiB.
most_bytes=500000

wrong() {
  echo "retrap: $*" >&2
  exit 2
}

# Ends with a sentence where a text has other characters than these, is empty, or begins with a hyphen.
only() { # NAME TEXT CHARACTERS EXPECTED
  # shellcheck disable=SC2254 # It is a pattern.
  case $2 in
    '' | -* | *[!$3]*) wrong "$1 '$2': expected $4" ;;
  esac
}

check() {
  only version "$version" 'A-Za-z0-9.+-' 'a version or a tag of npm, such as 0.3.0 or latest'
  only artifact "$artifact" 'A-Za-z0-9._-' 'letters, digits, points, hyphens and underscores'
  only results "$results" 'A-Za-z0-9._/-' 'a folder below the current one, such as retrap-results'
  case /$results/ in
    */../* | */./* | *//*) wrong "results '$results': expected a folder below the current one, such as retrap-results" ;;
  esac
  set -- ${tests:+tests} ${exec:+exec} ${explore:+explore}
  [ $# -gt 0 ] || wrong "nothing to run; give tests, such as tests.json, exec, such as 'make check', or explore, such as compose.yaml"
  [ $# -eq 1 ] || wrong "there are $1 and $2; give one of them"
  [ -z "${RETRAP_OPTIONS:-}" ] || [ -z "$tests" ] || wrong 'options are for exec and explore; tests have theirs in their files'
}

# Says so where a later step of GitHub's reads it.
tell_github() { # NAME=VALUE…
  [ -z "${GITHUB_OUTPUT:-}" ] || printf '%s\n' "$@" >>"$GITHUB_OUTPUT"
}

prepare() {
  exact=$(npm view "retrap@$version" version --json | tr -d '[]" \n')
  only version "$exact" 'A-Za-z0-9.+-' "one version; npm has that for '$version'"
  tell_github "version=$exact" "cache=$cache"
}

# What the cache has that takes long to get: a name that changes with machines and packages, and not with what is compiled.
kept() {
  (cd "$cache" 2>/dev/null && find . -name '*.snapshot' -o -path './debian-*/*/*' -prune) | sort | cksum | tr ' ' -
}

# Finds retrap: beside this script where that lies in its package, else by npm.
install() {
  retrap=$here/../../.bin/retrap
  if [ ! -x "$retrap" ]; then
    folder=${RUNNER_TEMP:-${TMPDIR:-/tmp}}/retrap-$version
    npm install --no-save --no-audit --no-fund --loglevel=error --prefix "$folder" "retrap@$version" >&2
    retrap=$folder/node_modules/.bin/retrap
  fi
}

# Runs a command, shows what it prints as it comes, and keeps that. The guest's text gives the runner no commands: those begin
# with two colons there.
shown() { # LOG COMMAND…
  log=$1
  shift
  token=
  if [ -n "${GITHUB_ACTIONS:-}" ]; then
    token=retrap-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "::stop-commands::$token"
  fi
  {
    code=0
    "$@" 2>&1 || code=$?
    echo "$code" >"$scratch/code"
  } | tee "$log"
  [ -z "$token" ] || printf '\n::%s::\n' "$token"
  code=$(cat "$scratch/code")
}

# Runs the files of tests. A test that fails does not keep the others from running.
run_tests() {
  printf '%s\n' "$tests" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' >"$scratch/tests"
  twice=$(sed 's/.*\///' "$scratch/tests" | sort | uniq -d | head -n 1)
  [ -z "$twice" ] || wrong "two files of tests are named '$twice'; give them names of their own"
  worst=0
  # Retrap reads no input of ours.
  while IFS= read -r file <&3; do
    name=$(printf '%s' "${file##*/}" | tr -c 'A-Za-z0-9._-' -)
    case $file in -*) file=./$file ;; esac
    shown "$results/$name.log" "$retrap" test "$file" --junit "$results/junit/$name.xml" --out "$results/failures" </dev/null
    [ "$code" -le "$worst" ] || worst=$code
    # No test ran: the report says so, too.
    [ -s "$results/junit/$name.xml" ] || report "$name" "$code" "$results/$name.log"
  done 3<"$scratch/tests"
  code=$worst
}

# Runs a command line in a guest: one test. Or looks for faults that a cluster fails under: its report has the properties.
run_one() { # NAME
  one=$1
  case $explore in -*) explore=./$explore ;; esac
  set -f
  # shellcheck disable=SC2086 # They are words.
  if [ -n "$exec" ]; then
    set -- exec ${RETRAP_OPTIONS:-} -- /bin/sh -c "$exec"
  else
    set -- cluster explore "$explore" ${RETRAP_OPTIONS:-} --junit "$results/junit/$one.xml" --out "$results/plan.json"
  fi
  set +f
  shown "$results/$one.log" "$retrap" "$@" </dev/null
  [ -s "$results/junit/$one.xml" ] || report "$one" "$code" "$results/$one.log"
}

# Writes a JUnit report of one test, which is a command line.
report() { # NAME CODE LOG
  bad=0
  [ "$2" -eq 0 ] || bad=1
  {
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo "<testsuite name=\"$1\" tests=\"1\" failures=\"$bad\" errors=\"0\"><testcase classname=\"retrap\" name=\"$1\">"
    if [ $bad -ne 0 ]; then
      echo "<failure message=\"exit code $2\">"
      tail -n 50 "$3" | tr -cd '\11\12\40-\176' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'
      echo '</failure>'
    fi
    echo '</testcase></testsuite>'
  } >"$results/junit/$1.xml"
}

# Says how each recording is opened, on the computer of who reads it.
how_to_open() {
  find "$results" -name run.recording -o -name 'plan.run*' | sed 's/\/run.recording$//' | sort >"$scratch/recordings"
  [ -s "$scratch/recordings" ] || return 0
  printf '\nOpen the recording of a failing test in a page, at the failure, and go back from there:\n\n'
  if [ -n "${GITHUB_RUN_ID:-}" ]; then
    echo "    gh run download $GITHUB_RUN_ID --repo ${GITHUB_REPOSITORY:-} --name $artifact --dir $results"
  elif [ -n "${CI_JOB_URL:-}" ]; then
    echo "    # the files: $CI_JOB_URL/artifacts/download"
  fi
  while IFS= read -r folder; do
    case $folder in *[!A-Za-z0-9._/-]*) folder="'$(printf '%s' "$folder" | sed "s/'/'\\\\''/g")'" ;; esac
    # Retrap has said so where a page cannot open it.
    if grep -hF -e 'web --recording' -e 'cluster replay' "$results"/*.log | grep -qF -- "$folder"; then
      echo "    npx retrap@$version web --recording $folder"
    fi
  done <"$scratch/recordings"
}

# The end of what was printed, as Markdown. Text of a guest is indented: nothing in it is markup.
summary() {
  if [ -z "$tests" ]; then
    echo "## retrap: the ${exec:+program}${explore:+search} ended with $code"
    echo
    [ "$code" -eq 0 ] || tail -n 50 "$results"/*.log | tr -cd '\11\12\40-\176' | sed 's/^/    /'
  else
    ok=$(cat "$results"/*.log | grep -c '^ok  ') || true
    failed=$(cat "$results"/*.log | grep -c '^FAILED ') || true
    echo "## retrap: $ok passed, $failed failed"
    [ "$code" -le 1 ] || printf '\nIt ended with %s:\n\n%s\n' "$code" "$(cat "$results"/*.log | tail -n 20 | sed 's/^/    /')"
    awk '
      /^ok  / { failed = 0 }
      /^FAILED / { gsub(/[^A-Za-z0-9 ]/, "\\\\&"); sub(/^FAILED /, ""); printf "\n**%s**\n\n", $0; failed = 1; next }
      failed { print "    " $0 }
    ' "$results"/*.log
  fi
  how_to_open
}

check
case ${1:-run} in
  prepare) prepare && exit ;;
  run) ;;
  *) wrong "'$1': expected prepare, or nothing" ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
install
# What an earlier step has left there is none of ours.
rm -rf "${results:?}/junit" "${results:?}/failures" "${results:?}"/*.log "${results:?}"/plan.*
mkdir -p "$results/junit"
if [ -n "$tests" ]; then run_tests; else run_one "${exec:+exec}${explore:+explore}"; fi
tell_github "results=$results" "code=$code" "kept=$(kept)"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || summary | head -c $most_bytes >>"$GITHUB_STEP_SUMMARY"
how_to_open
exit "$code"
