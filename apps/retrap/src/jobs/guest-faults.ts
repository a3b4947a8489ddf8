/** The faults that a guest's shell makes. */
import type { GuestFault, PlacedMachine } from '@retrap/cluster'
import { quote } from '@retrap/linux-guest/jobs/job'

export const GROUPS = '/sys/fs/cgroup'
/** The group of all programs. */
export const PROGRAMS: string = `${GROUPS}/program`

/** The group of the shells that start programs again, and test their health: they stand still with these. */
export const KEEPERS: string = `${GROUPS}/keepers`

/** The commands that part the shell from programs: these are killed where memory is lacking, and the shell is not. */
export const APART: readonly string[] = [
  'echo -1000 >/proc/self/oom_score_adj',
  `echo $$ >${GROUPS}/cgroup.procs; echo +memory >${GROUPS}/cgroup.subtree_control`,
]
/** The command by which a process joins a group, where it is killed if memory is lacking. @param otherwise - without that group */
export const joining = (group: string, otherwise = ''): string =>
  `echo 0 >${group}/cgroup.procs${otherwise}; echo 0 >/proc/self/oom_score_adj`
/** The command by which a program goes where others are. */
export const TOGETHER: string = joining(PROGRAMS)

/** The group of processes of a command that may be killed, by the number in its name; undefined: no other program is. */
export function groupOf(name: string): string | undefined {
  const [, number] = / #(\d+)$/.exec(name) ?? []
  return number && `${PROGRAMS}/command-${number}`
}
/** The command that kills a group, also if its first process has not joined it yet. */
export function killing(name: string): string {
  const group = groupOf(name)
  return `( while [ -d ${group} ]; do echo 1 >${group}/cgroup.kill; rmdir ${group}; sleep 0.01; done 2>/dev/null ) &\n`
}

/** The file that fills a disk. It has no name while it does. */
export const FILLER = '.retrap-full'

/** Takes what is free, in ever smaller pieces, and holds it. */
const fill = (folder: string): string => `(
  exec 3>${folder}/${FILLER} && rm ${folder}/${FILLER} || exit
  at=0 part=$(($(stat -f -c '%a * %S' ${folder})))
  while [ $part -ge 4096 ]; do
    if fallocate -o $at -l $part /proc/self/fd/3; then at=$((at + part)); else part=$((part / 2)); fi
  done
  exec sleep 1000000000
) 2>/dev/null & filler=$!
`

/** Takes memory away until the kernel has killed a program. */
const STARVE = `(
  cd ${PROGRAMS}
  before=$(grep '^oom_kill ' memory.events)
  most=$(cat memory.current)
  while [ "$before" = "$(grep '^oom_kill ' memory.events)" ] && [ $most -gt 100000 ]; do
    most=$((most * 3 / 4))
    echo $most >memory.max
  done
) &
`

/**
 * A program that calls clock_adjtime with its input, a `struct timex` up to the time. The shell's `date` sets whole seconds. The sources
 * are in `test/linux/programs/`, as a test asserts.
 */
export const TURN_CLOCK: Readonly<Record<PlacedMachine['arch'], string>> = {
  'x86-64':
    'f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAogAAAAAAAACiAAAAAAAAAAAQAAAAAAAASIHs0AAAADHAMf9Iiea6WAAAAA8FuDEBAAAx/0iJ5g8Fice4PAAAAA8F',
  arm64:
    'f0VMRgIBAQAAAAAAAAAAAAIAtwABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAqAAAAAAAAACoAAAAAAAAAAAQAAAAAAAA/0MD0QAAgNLhAwCRAguA0ugHgNIBAADUAACA0uEDAJFIIYDSAQAA1KgLgNIBAADU',
}

/** Bytes of a `struct timex` up to the time, whose seconds are the last but one word. Source: Linux, include/uapi/linux/timex.h. */
const TIMEX_BYTES = 88
const TIMEX_SECONDS = 72
/** The time is added to the clock, and has nanoseconds: ADJ_SETOFFSET, ADJ_NANO. */
const ADJ_ADD_NANOSECONDS = 0x2100

/** The commands that set the clock of programs forward by nanoseconds, or back. */
export function clockTurn(ns: number, { arch }: Pick<PlacedMachine, 'arch'>): string {
  const seconds = Math.floor(ns / 1e9)
  const timex = Buffer.alloc(TIMEX_BYTES)
  timex.writeUInt32LE(ADJ_ADD_NANOSECONDS)
  timex.writeBigInt64LE(BigInt(seconds), TIMEX_SECONDS)
  timex.writeUInt32LE(Math.round(ns - seconds * 1e9), TIMEX_SECONDS + 8)
  return [
    `echo ${TURN_CLOCK[arch]} | base64 -d >/turn-clock; chmod 755 /turn-clock`,
    `echo ${timex.toString('base64')} | base64 -d | /turn-clock\n`,
  ].join('\n')
}

/** Ticks of the clock in a second are 100; each has so many microseconds. */
const TICK_US = 10_000

/** Time of which programs get a part, in microseconds. */
const PERIOD_US = 100_000
const LEAST_US = 1000

/** The commands that begin a fault, or end it. @param amount - 0: it ends */
export function disturbance(kind: GuestFault, amount: number, { disk, cpus }: PlacedMachine): string {
  if (kind === 'hang')
    return `for group in ${PROGRAMS} ${KEEPERS}; do echo ${amount > 0 ? 1 : 0} >$group/cgroup.freeze; done\n`
  if (kind === 'slow-cpu') {
    const left = Math.max(LEAST_US, Math.round((1 - amount) * cpus * PERIOD_US))
    return `echo ${amount > 0 ? left : 'max'} ${PERIOD_US} >${PROGRAMS}/cpu.max\n`
  }
  if (kind === 'drift') return `adjtimex -t ${Math.round(TICK_US * (1 + Math.min(amount, 0.1)))} >/dev/null\n`
  if (kind === 'memory') return amount > 0 ? STARVE : `echo max >${PROGRAMS}/memory.max\n`
  return amount > 0 ? fill(quote(`.${disk!.path}`)) : 'kill $filler\n'
}
