#!/bin/sh
# The agent of @retrap/guest: runs commands for the host. POSIX sh, and base64, cat, dd, head, mkfifo, rm, setsid, sleep, stat, stty.
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
# Each command has a place of its own: a folder. From 8 on they are those of streams.
places='0 1 2 3 4 5 6 7'
streams='8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39'
set --
for place in $places $streams; do set -- "$@" "$dir/$place"; done
mkdir "$@"
for at in "$@"; do
  shift
  set -- "$@" "$at/out.pipe" "$at/err.pipe"
done
mkfifo "$@" || exit 1
trap 'end_commands; rm -rf "$dir"' EXIT
trap 'exit 1' HUP TERM
# A shell says there which of its children were killed.
exec 2>/dev/null

session=- last=- saved= place=0 at=$dir/0

say() {
  printf '\nrt1< %s %s\n' "${#1}" "$1" >&4
}

answer() {
  last=$id saved="$session $id $1"
  say "$saved"
}

# Which outputs of the place have anything, fetched or not: no program is started for it.
look() {
  printed=
  [ -s "$at/out" ] && printed=1
  [ -s "$at/err" ] && printed=${printed}2
  printed=${printed:-0}
}

# In a process of its own: the parent of a command, and of what takes its output. An output ends at $1 blocks of 512 bytes.
run_command() {
  exec 3<&-
  (ulimit -f "$1"; exec cat <"$at/out.pipe" >>"$at/out") 4>&- &
  out_reader=$!
  (ulimit -f "$1"; exec cat <"$at/err.pipe" >>"$at/err") 4>&- &
  err_reader=$!
  setsid sh "$at/script" <"$2" >"$at/out.pipe" 2>"$at/err.pipe" 4>&- &
  command=$!
  echo "$command $out_reader $err_reader" >"$at/pids"
  wait "$command"
  code=$?
  echo "$code" >"$at/code"
  wait "$out_reader" "$err_reader"
  look
  echo "end $code $printed" >"$at/end"
  say "$session 0 end $place $code $printed"
}

# Takes output $1 of a stream in parts. Each needs a word on descriptor 5. A short one is sent at once, others are fetched.
take_parts() {
  exec <"$at/$1.pipe"
  part=0
  while read -r word <&5; do
    text=$(exec 4>&-; dd bs=23552 count=1 | base64 -w 0)
    [ -n "$text" ] || break
    printf %s "$text" >"$at/$1.$((part % 4))"
    part=$((part + 1))
    echo "$part" >"$at/$1.count"
    [ "${#text}" -le 1000 ] || text=
    say "$session 0 part $place $1 $part $text"
  done
}

# Gives a command its input in parts, each with a line on descriptor 5: its number, and a short part itself.
give_parts() {
  trap '' PIPE
  while read -r part text <&5 && [ "$part" != end ]; do
    if [ -n "$text" ]; then printf %b "$text"; else cat "$at/in.$((part % 4))"; fi || break
    echo "$((part + 1))" >"$at/in.count"
  done
  # The command takes no more; parts that come are as if it had taken them.
  echo gone >"$at/in.gone"
}

# In a process of its own: the parent of a stream.
run_stream() {
  exec 3<&-
  exec 5<>"$at/out.room" 6<>"$at/err.room" 7<>"$at/in.room"
  printf '1\n1\n1\n' >&5
  printf '1\n1\n1\n' >&6
  take_parts out 6>&- 7>&- &
  out_reader=$!
  take_parts err 5<&6 6>&- 7>&- &
  err_reader=$!
  give_parts 4>&- 5<&7 6>&- 7>&- >"$at/in.pipe" &
  giver=$!
  setsid sh "$at/script" <"$at/in.pipe" >"$at/out.pipe" 2>"$at/err.pipe" 4>&- 5>&- 6>&- 7>&- &
  command=$!
  echo "$command $out_reader $err_reader $giver" >"$at/pids"
  wait "$command"
  code=$?
  echo "$code" >"$at/code"
  kill -s KILL "$giver"
  wait "$out_reader" "$err_reader"
  echo "$code" >"$at/end"
  say "$session 0 end $place"
}

# Sends a signal to the command of the place with all that it has started.
signal_command() {
  command=
  tries=0
  # It may be about to start.
  while [ -z "$command" ] && [ "$tries" -lt 1000 ]; do
    read -r command out_reader err_reader <"$at/pids"
    tries=$((tries + 1))
  done
  [ -n "$command" ] || return 1
  if [ ! -s "$at/code" ]; then
    kill -s "$1" -- "-$command" 2>/dev/null || kill -s "$1" "$command" 2>/dev/null
  elif [ ! -s "$at/end" ]; then
    # The command has ended; what it has left behind still holds its output.
    echo held >"$at/held"
    kill -s KILL $out_reader $err_reader 2>/dev/null
  fi
}

end_command() {
  [ -s "$at/runner" ] || return
  read -r runner <"$at/runner"
  if [ ! -s "$at/end" ]; then
    signal_command KILL
    echo held >"$at/held"
    kill -s KILL "$runner" $out_reader $err_reader 2>/dev/null
  fi
  wait "$runner" 2>/dev/null
  : >"$at/runner"
}

end_commands() {
  for place in $places $streams; do
    at=$dir/$place
    end_command
  done
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
    case $3 in put | feed) head -n 1 <&3 >/dev/null ;; esac
    say "$saved"
    continue
  fi
  if [ "$3" = sync ]; then
    end_commands
    session=$1 id=$2
    if [ -t 3 ]; then answer 'ok 3'; else answer 'ok 4'; fi
    continue
  fi
  [ "$1" = "$session" ] || continue
  id=$2
  # PLACE is the first argument of all but ping.
  case $4 in [0-9] | [123][0-9]) place=$4 at=$dir/$4 ;; esac
  case $3 in
  ping)
    answer ok
    ;;
  put) # PLACE FILE begin|go-on LENGTH: the next line is so many characters of base64
    data=$(head -n 1 <&3)
    [ "${#data}" = "$7" ] || continue
    case $5 in script | in) ;; *) continue ;; esac
    [ "$6" = begin ] && : >"$at/$5"
    if printf %s "$data" | base64 -d >>"$at/$5" 2>/dev/null; then answer ok; else answer failed; fi
    ;;
  load) # PLACE BLOCK COUNT: so many blocks of 4096 bytes of the input follow, and a line that shows that none was lost
    [ "$5" = 0 ] && : >"$at/in"
    if ! dd bs=4096 count="$6" seek="$5" iflag=fullblock conv=notrunc of="$at/in" <&3; then
      answer failed
    elif read -r line <&3 && [ "$line" = "end $id" ]; then
      # One that comes twice is carried out twice: that is the same.
      say "$session $id ok"
    fi
    ;;
  exec) # PLACE BLOCKS none|staged staged|COMMAND: as printf's %b has it
    end_command
    [ "$7" = staged ] || printf %b "$7" >"$at/script"
    input=/dev/null
    [ "$6" = staged ] && input=$at/in
    # Somebody may write to the pipes of the command before: these are new.
    [ -s "$at/held" ] && rm -f "$at/out.pipe" "$at/err.pipe" && mkfifo "$at/out.pipe" "$at/err.pipe"
    for file in out err pids code end held; do : >"$at/$file"; done
    run_command "$5" "$input" &
    echo $! >"$at/runner"
    answer ok
    ;;
  poll) # PLACE
    if [ -s "$at/end" ]; then
      read -r line <"$at/end"
      answer "$line"
    else
      look
      if [ -s "$at/code" ]; then answer "exited $printed"; else answer "running $printed"; fi
    fi
    ;;
  fetch) # PLACE 1|2 BLOCK: what there is of an output from a block of 512 bytes on
    file=out
    [ "$5" = 2 ] && file=err
    answer "ok $(dd bs=512 skip="$6" count=46 <"$at/$file" 2>/dev/null | base64 -w 0)"
    ;;
  take) # PLACE 1|2 BLOCK: whole blocks of 4096 bytes of an output, as they are
    file=out
    [ "$5" = 2 ] && file=err
    count=$(($(stat -c %s "$at/$file") / 4096 - $6))
    [ "$count" -gt 128 ] && count=128
    say "$session $id raw $((count * 4096))"
    dd ibs=4096 obs=32768 skip="$6" count="$count" <"$at/$file" >&4
    echo "end $id" >&4
    ;;
  spawn) # PLACE staged|COMMAND: a stream
    end_command
    [ "$5" = staged ] || printf %b "$5" >"$at/script"
    rm -f "$at/in.gone" "$at/in.pipe" "$at/out.pipe" "$at/err.pipe" "$at/in.room" "$at/out.room" "$at/err.room"
    mkfifo "$at/in.pipe" "$at/out.pipe" "$at/err.pipe" "$at/in.room" "$at/out.room" "$at/err.room"
    for file in pids code end; do : >"$at/$file"; done
    for file in in out err; do echo 0 >"$at/$file.count"; done
    run_stream &
    echo $! >"$at/runner"
    # Its pipes are open then: a word that comes earlier would be lost.
    tries=0
    until [ -s "$at/pids" ] || [ "$tries" -ge 600 ]; do
      # POSIX has whole seconds alone.
      [ "$tries" -gt 20 ] && { sleep 0.05 || sleep 1; }
      read -r command <"$at/pids"
      tries=$((tries + 1))
    done
    if [ -s "$at/pids" ]; then answer ok; else answer failed; fi
    ;;
  feed) # PLACE PART LENGTH: the next line is so many characters of base64
    data=$(head -n 1 <&3)
    [ "${#data}" = "$6" ] || continue
    if printf %s "$data" | base64 -d >"$at/in.$(($5 % 4))" 2>/dev/null && echo "$5" 1<>"$at/in.room"; then
      answer ok
    else
      answer failed
    fi
    ;;
  type) # PLACE PART TEXT: a short part, as printf's %b has it
    printf '%s %s\n' "$5" "$6" 1<>"$at/in.room"
    answer ok
    ;;
  finish) # PLACE: the input ends
    echo end 1<>"$at/in.room"
    answer ok
    ;;
  look) # PLACE...: for each PLACE,IN,OUT,ERR,CODE: parts that were given, parts of the outputs, and - until all has ended
    shift 3
    text=
    for place in "$@"; do
      at=$dir/$place given=- out=- err=- code=-
      read -r given <"$at/in.count"
      [ -s "$at/in.gone" ] && given=gone
      read -r out <"$at/out.count"
      read -r err <"$at/err.count"
      read -r code <"$at/end"
      text="$text $place,${given:--},${out:--},${err:--},${code:--}"
    done
    answer "ok$text"
    ;;
  room) # PLACE out|err WORDS: for so many more parts
    printf %b "$6" 1<>"$at/$5.room"
    answer ok
    ;;
  part) # PLACE out|err PART WORDS: room for more, and the part
    printf %b "$7" 1<>"$at/$5.room"
    answer "ok $(cat "$at/$5.$(($6 % 4))")"
    ;;
  kill) # PLACE SIGNAL
    if signal_command "$5"; then answer ok; else answer failed; fi
    ;;
  *)
    answer unknown
    ;;
  esac
done
