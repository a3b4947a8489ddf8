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
set --
for place in $places; do set -- "$@" "$dir/$place/out.pipe" "$dir/$place/err.pipe"; done
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

# Has new pipes for a stream: somebody may hold those of the one before. A program takes long to start: it makes them for 16 streams.
make_pipes() {
  turn=$(((turn + 1) % 16)) pipe=$at/$turn
  if [ "$turn" = 0 ]; then
    set --
    for each in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
      for kind in in out err in.room out.room err.room; do set -- "$@" "$at/$each.$kind"; done
    done
    [ -p "$1" ] && rm -f "$@"
    mkfifo "$@" || return 1
  fi
  eval "turn$place=$turn"
}

# Takes output $1 of a stream, its standard input, in parts. Each needs a word on descriptor 5. A short one is sent at once, others are fetched.
take_parts() {
  part=0
  while read -r word <&5; do
    dd bs=23552 count=1 >"$at/$1.part" 4>&-
    # At the end no program is started for nothing.
    [ -s "$at/$1.part" ] || break
    text=$(base64 -w 0 <"$at/$1.part" 4>&-)
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

# In a process of its own: the parent of a stream, of the script or of a program with arguments, which starts no others.
run_stream() {
  printf '1\n1\n1\n' >&5
  printf '1\n1\n1\n' >&6
  # Both ends of a pipe are there before their processes: a process that is killed at once leaves nobody who waits for it. Opening
  # one for both directions waits for nobody. A function with redirections would keep what they close.
  exec 8<>"$pipe.err" 9<"$pipe.err"
  exec 8>"$pipe.err"
  if [ $# = 0 ]; then
    (exec <&9 5<&6 6>&- 7>&- 8>&- 9<&-; take_parts err) &
    err_reader=$!
  else
    # What a program says of its failure follows the rest.
    exec 8>"$at/err"
  fi
  exec 3<>"$pipe.out" 9<"$pipe.out"
  exec 3>"$pipe.out"
  if [ $# = 0 ]; then
    (exec <&9 3>&- 6>&- 7>&- 8>&- 9<&-; take_parts out) &
    out_reader=$!
  else
    exec <&9
  fi
  exec 1<>"$pipe.in" 9<"$pipe.in"
  exec 1>"$pipe.in"
  (exec </dev/null 3>&- 4>&- 5<&7 6>&- 7>&- 8>&- 9<&-; give_parts) &
  giver=$!
  if [ $# = 0 ]; then
    setsid sh "$at/script" <&9 >&3 2>&8 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9<&- &
  else
    "$@" <&9 >&3 2>&8 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9<&- &
  fi
  command=$!
  exec >/dev/null 3>&- 8>&- 9<&-
  echo "$command $out_reader $err_reader $giver" >"$at/pids"
  # Nobody else holds the output of a program: it needs no process beside this one.
  [ $# = 0 ] || take_parts out
  wait "$command"
  code=$?
  echo "$code" >"$at/code"
  kill -s KILL "$giver"
  wait $out_reader $err_reader "$giver"
  [ $# != 0 ] && [ -s "$at/err" ] && take_parts err <"$at/err" 5<&6
  echo "$code" >"$at/end"
  say "$session 0 end $place"
}

# Sends a signal to the command of the place with all that it has started.
signal_command() {
  command=
  tries=0
  # It may be about to start.
  while [ -z "$command" ] && [ "$tries" -lt 600 ]; do
    # POSIX has whole seconds alone.
    [ "$tries" -gt 20 ] && { sleep 0.05 || sleep 1; }
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
    if [ -t 3 ]; then answer 'ok 5'; else answer 'ok 6'; fi
    continue
  fi
  [ "$1" = "$session" ] || continue
  id=$2
  # PLACE is the first argument of all but ping.
  case $4 in
  [0-9] | [123][0-9])
    place=$4 at=$dir/$4
    eval "turn=\${turn$4:-15}"
    pipe=$at/$turn
    ;;
  esac
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
  spawn | join) # PLACE staged|COMMAND: a stream. Or PLACE PROGRAM ARGUMENT...: of a program that starts no others
    end_command
    operation=$3
    [ "$3" = join ] || [ "$5" = staged ] || printf %b "$5" >"$at/script"
    if make_pipes; then
      for file in pids code end err; do : >"$at/$file"; done
      for file in in out err; do echo 0 >"$at/$file.count"; done
      : >"$at/in.gone"
      shift 4
      [ "$operation" = join ] || set --
      # Open before the answer: a word that comes where nobody has opened its pipe would be lost.
      exec 5<>"$pipe.out.room" 6<>"$pipe.err.room" 7<>"$pipe.in.room"
      run_stream "$@" &
      echo $! >"$at/runner"
      exec 5>&- 6>&- 7>&-
      answer ok
    else
      answer failed
    fi
    ;;
  feed) # PLACE PART LENGTH: the next line is so many characters of base64
    data=$(head -n 1 <&3)
    [ "${#data}" = "$6" ] || continue
    if printf %s "$data" | base64 -d >"$at/in.$(($5 % 4))" 2>/dev/null && echo "$5" 1<>"$pipe.in.room"; then
      answer ok
    else
      answer failed
    fi
    ;;
  type) # PLACE PART TEXT: a short part, as printf's %b has it
    printf '%s %s\n' "$5" "$6" 1<>"$pipe.in.room"
    answer ok
    ;;
  finish) # PLACE: the input ends
    echo end 1<>"$pipe.in.room"
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
    printf %b "$6" 1<>"$pipe.$5.room"
    answer ok
    ;;
  part) # PLACE out|err PART WORDS: room for more, and the part
    printf %b "$7" 1<>"$pipe.$5.room"
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
