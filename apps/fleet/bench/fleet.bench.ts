/**
 * The same boots by retrap-fleet and by a shell's loop of equal concurrency, `xargs -P`, in turns: host time, and processor time of
 * all processes. Usage: fleet.bench.ts [BOOTS] [ROUNDS], of which each tenth is of Debian's kernel.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'

/** Seconds. */
interface Cost {
  readonly wall: number
  readonly cpu: number
}

const FLEET = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const RETRAP = fileURLToPath(new URL('../../retrap/dist/main.js', import.meta.url))
const NODE = [process.execPath, '--max-semi-space-size=1', RETRAP] as const

export function run([boots = '20', rounds = '4']: string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'fleet-bench-'))
  const jobs = availableParallelism()
  const debian = Math.floor(Number(boots) / 10)
  const embedded = Number(boots) - debian
  try {
    writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
    const plan = [
      'timeout: 600',
      'machines:',
      `  - { name: debian, system: linux, command: uname -a, expect: Linux retrap, repeat: ${debian} }`,
      `  - { name: embedded, firmware: guest.bin, expect: "retrap> ", repeat: ${embedded} }`,
    ]
    writeFileSync(join(folder, 'plan.yaml'), `${plan.filter((line) => !line.endsWith('repeat: 0 }')).join('\n')}\n`)
    // What the embedded guest is told by is its input, and what a fleet is told by is its output: both end the machine then.
    const one = `case $1 in d*) ${quoted([...NODE, 'linux', '--command=uname -a', '--timeout=600'])} </dev/null >logs/$1 && grep -q 'Linux retrap' logs/$1 ;;
*) echo off | ${quoted([...NODE, 'run', '--firmware=guest.bin', '--timeout=600'])} >logs/$1 && grep -q 'retrap> ' logs/$1 ;; esac`
    writeFileSync(join(folder, 'one.sh'), `${one}\n`)
    const names = [...ids('d', debian), ...ids('e', embedded)]
    writeFileSync(join(folder, 'names'), `${names.join('\n')}\n`)
    mkdirSync(join(folder, 'logs'))
    const loop = `xargs -P ${jobs} -n 1 bash one.sh < names`
    const fleet = quoted([process.execPath, FLEET, 'run', 'plan.yaml', '--jobs', `${jobs}`, '--out', 'out'])
    const costs: [loop: Cost, fleet: Cost][] = []
    // The first round fills the caches of compiled code, and does not count.
    for (let i = 0; i <= Number(rounds); i++) {
      const before = i % 2 === 0 ? timed(loop, folder) : undefined
      const ofFleet = timed(fleet, folder)
      costs.push([before ?? timed(loop, folder), ofFleet])
    }
    const counted = costs.slice(1)
    for (const kind of ['wall', 'cpu'] as const) {
      const [ofLoop = 0, ofFleet = 0] = [0, 1].map((i) =>
        counted.reduce((sum, pair) => sum + (pair[i]?.[kind] ?? 0), 0),
      )
      const unit = kind === 'wall' ? 'boots per second' : 'boots per second of a processor'
      const times = `${ofFleet.toFixed(1)} s against ${ofLoop.toFixed(1)} s`
      const what = `${rounds} times ${boots}, ${debian} of Debian, ${jobs} at a time`
      console.log(`fleet: ${(ofLoop / ofFleet).toFixed(2)} x shell loop (${unit}: ${what}; ${times})`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ')

/** Runs a command of bash, whose `time` counts all processes that were waited for. @throws Error if it fails */
function timed(command: string, folder: string): Cost {
  const script = `TIMEFORMAT='%R %U %S'; { time ${command} >/dev/null 2>errors; } 2>times`
  const { status } = spawnSync('bash', ['-c', script], { cwd: folder, stdio: 'inherit' })
  if (status !== 0)
    throw new Error(`${command} has failed: ${readFileSync(join(folder, 'errors'), 'utf8').slice(-2000)}`)
  const [wall = 0, user = 0, system = 0] = readFileSync(join(folder, 'times'), 'utf8').trim().split(' ').map(Number)
  return { wall, cpu: user + system }
}
