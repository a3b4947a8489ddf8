#!/bin/sh
# The agent of @retrap/guest: runs commands for the host. POSIX sh, and base64, cat, dd, head, mkfifo, setsid, stty.
#
#   sh agent.sh /dev/ttyS1     on a serial line, or on a virtio port such as /dev/virtio-ports/NAME
#   sh agent.sh                on standard input and output
#
# Each request is a line, and so is each answer:
#   rt1> LENGTH SESSION ID OPERATION ARGUMENTS      LENGTH counts the characters behind it and its blank
#   rt1< LENGTH SESSION ID ANSWER
# A line that is anything else is noise. A request that comes twice is answered twice and carried out once.
set -f
port=${1:--}
if [ "$port" = - ]; then
  exec 3<&0 4>&1
else
  exec 3<>"$port" 4>&3
  # A virtio port is no terminal.
  stty raw -echo 115200 <&3 2>/dev/null
fi
exec </dev/null >/dev/null

for base in "${TMPDIR:-/tmp}" /run /dev/shm ''; do
  dir=$base/retrap-agent.$$
  mkdir -m 700 "$dir" 2>/dev/null && break
done
mkfifo "$dir/out.pipe" "$dir/err.pipe" || exit 1
trap 'end_command; rm -rf "$dir"' EXIT
trap 'exit 1' HUP TERM
# A shell says there which of its children were killed.
exec 2>/dev/null

session=- last=- saved= runner=

say() {
  printf '\nrt1< %s %s\n' "${#1}" "$1" >&4
}

answer() {
  last=$id saved="$session $id $1"
  say "$saved"
}

# Which outputs have anything, fetched or not: no program is started for it.
look() {
  printed=
  [ -s "$dir/out" ] && printed=1
  [ -s "$dir/err" ] && printed=${printed}2
  printed=${printed:-0}
}

# In a process of its own: the parent of a command, and of what takes its output. An output ends at $1 blocks of 512 bytes.
run_command() {
  exec 3<&- 8<&- 9<&-
  (ulimit -f "$1"; exec cat <"$dir/out.pipe" >>"$dir/out") 4>&- &
  out_reader=$!
  (ulimit -f "$1"; exec cat <"$dir/err.pipe" >>"$dir/err") 4>&- &
  err_reader=$!
  setsid sh "$dir/script" <"$2" >"$dir/out.pipe" 2>"$dir/err.pipe" 4>&- &
  command=$!
  echo "$command $out_reader $err_reader" >"$dir/pids"
  wait "$command"
  code=$?
  echo "$code" >"$dir/code"
  wait "$out_reader" "$err_reader"
  look
  echo "end $code $printed" >"$dir/end"
  say "$session 0 end $code $printed"
}

# Sends a signal to the command with all that it has started.
signal_command() {
  command=
  tries=0
  # It may be about to start.
  while [ -z "$command" ] && [ "$tries" -lt 1000 ]; do
    read -r command out_reader err_reader <"$dir/pids"
    tries=$((tries + 1))
  done
  [ -n "$command" ] || return 1
  if [ ! -s "$dir/code" ]; then
    kill -s "$1" -- "-$command" 2>/dev/null || kill -s "$1" "$command" 2>/dev/null
  elif [ ! -s "$dir/end" ]; then
    # The command has ended; what it has left behind still holds its output.
    kill -s KILL "$out_reader" "$err_reader" 2>/dev/null
  fi
}

end_command() {
  [ -n "$runner" ] || return
  if [ ! -s "$dir/end" ]; then
    signal_command KILL
    kill -s KILL "$runner" $out_reader $err_reader 2>/dev/null
  fi
  wait "$runner" 2>/dev/null
  runner=
}

while :; do
  if ! read -r line <&3; then
    [ "$port" = - ] && exit 0
    sleep 1
    continue
  fi
  case $line in
  *'rt1> '*) line=${line##*'rt1> '} ;;
  *) continue ;;
  esac
  length=${line%% *} line=${line#* }
  [ "${#line}" = "$length" ] || continue
  set -- $line
  [ $# -ge 3 ] || continue

  if [ "$1 $2" = "$session $last" ]; then
    [ "$3" = put ] && head -n 1 <&3 >/dev/null
    say "$saved"
    continue
  fi
  if [ "$3" = sync ]; then
    end_command
    session=$1 id=$2
    answer 'ok 1'
    continue
  fi
  [ "$1" = "$session" ] || continue
  id=$2
  case $3 in
  ping)
    answer ok
    ;;
  put) # FILE begin|go-on LENGTH: the next line is so many characters of base64
    data=$(head -n 1 <&3)
    [ "${#data}" = "$6" ] || continue
    case $4 in script | in) ;; *) continue ;; esac
    [ "$5" = begin ] && : >"$dir/$4"
    if printf %s "$data" | base64 -d >>"$dir/$4" 2>/dev/null; then answer ok; else answer failed; fi
    ;;
  exec) # BLOCKS none|staged staged|COMMAND: as printf's %b has it
    end_command
    [ "$6" = staged ] || printf %b "$6" >"$dir/script"
    input=/dev/null
    [ "$5" = staged ] && input=$dir/in
    for file in out err pids code end; do : >"$dir/$file"; done
    exec 8<"$dir/out" 9<"$dir/err"
    run_command "$4" "$input" &
    runner=$!
    answer ok
    ;;
  poll)
    if [ -s "$dir/end" ]; then
      read -r line <"$dir/end"
      answer "$line"
    else
      look
      if [ -s "$dir/code" ]; then answer "exited $printed"; else answer "running $printed"; fi
    fi
    ;;
  fetch) # 1|2: what has come of an output since
    if [ "$4" = 1 ]; then exec 7<&8; else exec 7<&9; fi
    answer "ok $(dd bs=24000 count=1 <&7 2>/dev/null | base64 -w 0)"
    exec 7<&-
    ;;
  kill) # SIGNAL
    if signal_command "$4"; then answer ok; else answer failed; fi
    ;;
  *)
    answer unknown
    ;;
  esac
done
