/** A machine's own program: tested for health, and started again after its end. The guest's shell does both, by its own time. */
import type { HealthTest, PlacedMachine } from '@retrap/cluster'
import { become, type JobProgram, quote } from '@retrap/linux-guest/jobs/job'
import { joining, KEEPERS, PROGRAMS } from './guest-faults.ts'

/** The groups of processes of the program, and of a test of its health. All in them ends with the program, or with the test. */
const MAIN_GROUP = `${PROGRAMS}/main`
const HEALTH_GROUP = `${PROGRAMS}/health`

const seconds = (ns: number): string => (ns / 1e9).toFixed(3)

/** A function of a shell that sets `now` to the milliseconds since the guest's begin. Hundredths such as 08 are no octal number. */
const NOW = 'now() { read -r up rest </proc/uptime; now=$((${up%.*} * 1000 + (1${up#*.} - 100) * 10)); }'

/**
 * The commands that test the health of a program until they are killed, and tell changes. A test has timed out if no exit code comes by
 * the pipe: its group is killed, whereupon the code comes. Its output is read to the end, and 4 KiB of it are kept.
 *
 * Source: Docker, "HEALTHCHECK" of the Dockerfile reference.
 */
function testsOf(health: HealthTest, program: JobProgram): readonly string[] {
  const { test, interval, timeout, retries, startPeriod, startInterval } = health
  return [
    'rm -f /top/health.code /top/health.out; mkfifo /top/health.code /top/health.out; exec 3<>/top/health.code',
    `failed=0 state= ; now; until=$((now + ${Math.round(startPeriod / 1e6)}))`,
    'early() { now; [ $now -lt $until ]; }',
    'while :; do',
    // A shell that waits so leaves no other process behind when it is killed.
    `if early; then read -t ${seconds(startInterval)} code <&3; else read -t ${seconds(interval)} code <&3; fi`,
    `early; is_early=$?; { head -c 4096 >/top/health.said; exec cat >/dev/null; } </top/health.out & reader=$!`,
    `( ( ${[joining(HEALTH_GROUP), ...become({ ...program, program: test }, '</dev/null 2>&1 3>&-')].join('\n')} ); echo $? >&3 ) >/top/health.out &`,
    `late=; read -t ${seconds(timeout)} code <&3 || { late='timed out '; echo 1 >${HEALTH_GROUP}/cgroup.kill; read -r code <&3; }`,
    `echo 1 >${HEALTH_GROUP}/cgroup.kill; wait $reader`,
    "said=\"$late$(tr '\\n' ' ' </top/health.said)\"; before=$state",
    'if [ "$late$code" = 0 ]; then failed=0 until=0 state=healthy said=',
    'else [ $is_early = 0 ] || failed=$((failed + 1))',
    `if [ $failed -ge ${retries} ]; then state=unhealthy; elif [ -z "$state" ]; then state=starting; fi`,
    'fi',
    '[ "$state" = "$before" ] || echo "status $state $said" >&7',
    'done',
  ]
}

/** The condition under which a program that has ended with `code` is started again. */
function againIf(policy = 'no'): string {
  const [name, most] = policy.split(':')
  if (name !== 'on-failure') return name === 'no' ? 'false' : 'true'
  return `[ $code != 0 ]${most === undefined ? '' : ` && [ $count -lt ${most} ]`}`
}

/**
 * The commands that start a machine's own program, by its policy again and again, and tell its end by this name.
 *
 * @param first - comes before, in its process
 * @param last - comes after an end with 0
 *
 * Source: Docker, "Start containers automatically": 100 ms pass before the next start, then twice as long each time, up to a minute; again
 * 100 ms for a program that has run for 10 s.
 */
export function encodeService(
  name: string,
  program: JobProgram,
  first: string,
  last: string,
  { health, restart }: Pick<PlacedMachine, 'health' | 'restart'>,
): string {
  const lines = [
    ...(health === undefined ? [] : [`( ${testsOf(health, program).join('\n')} ) & tests=$!`]),
    `( ${[first, joining(MAIN_GROUP), ...become(program, '</dev/null >/out 2>/err')].join('\n')} ); code=$?`,
    ...(health === undefined ? [] : [`kill $tests; echo 1 >${HEALTH_GROUP}/cgroup.kill`]),
    // Without a policy the processes that a program has started stay after its end.
    ...(restart === undefined ? [] : [`echo 1 >${MAIN_GROUP}/cgroup.kill`]),
  ]
  return [
    '(',
    NOW,
    `mkdir -p ${MAIN_GROUP} ${HEALTH_GROUP} ${KEEPERS}`,
    `echo 0 >${KEEPERS}/cgroup.procs`,
    'count=0 delay=0',
    'while :; do',
    'now; begun=$now',
    ...lines,
    `${againIf(restart)} || break`,
    'echo "status restarts $code" >&7',
    'now; [ $((now - begun)) -lt 10000 ] || delay=0',
    'delay=$((delay == 0 ? 100 : delay < 30000 ? delay * 2 : 60000)) count=$((count + 1))',
    'sleep $((delay / 1000)).$(printf %03d $((delay % 1000)))',
    'done',
    ...(last === '' ? [] : [`if [ $code = 0 ]; then ${last}; fi`]),
    `echo ${quote(`ended ${name}`)} $code >&7`,
    ') &\n',
  ].join('\n')
}
