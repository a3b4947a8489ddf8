// Compares the speed of retrap with that of QEMU's TCG, and of v86 where the guest is 32-bit. Each boots the same Linux
// kernel and initramfs on one CPU, whose first process runs C programs one after another, each once. A program's time is
// the processor time of all threads of the emulator, compilation included, between the marks that the guest prints before
// and after it; the time that the guest's own clock shows stands beside it. The emulators run in turn, and the median of
// their runs counts. All must print the same results. Ratios are speed against speed: more is better for retrap.
//
// npm run -s bench -- jit [--width 64|32] [--only NAME,...] [--rounds N] [--peers tcg,v86] [--retrap=OPTION...]
//
// Options are added to retrap's: `--retrap=--jit=off` compares its interpreter.
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { provideDebianPrograms, type ProgramTable } from '@retrap/tooling/programs'
import { processTime } from '@retrap/tooling/processor-time'
import { runProgram } from '../test/support/processes.ts'
import { commandOf, type Guest, type PeerName, withGuest } from './jit/peers.ts'
import { PROGRAMS, type Program } from './jit/programs.ts'

/** What no test needs is fetched here. */
const PEERS_AND_COMPILERS: ProgramTable = [
  { packages: ['gcc-i686-linux-gnu', 'libc6-dev-i386-cross'], programs: ['i686-linux-gnu-gcc'] },
  { packages: ['qemu-system-x86'], programs: ['qemu-system-x86_64', 'qemu-system-i386'] },
]
const FIRST_LINE = 'Linux version'
const DEADLINE_MS = 1_800_000

/** Seconds of a program: the host's processor time, and what the guest's clock showed. */
interface Times {
  readonly processor: number
  readonly guest: number
}

interface Run {
  readonly times: ReadonlyMap<string, Times>
  /** What the programs printed. */
  readonly results: ReadonlyMap<string, string>
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      width: { type: 'string' },
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      peers: { type: 'string', default: 'tcg,v86' },
      retrap: { type: 'string', multiple: true, default: [] },
    },
  })
  await provideDebianPrograms({ table: PEERS_AND_COMPILERS })
  const only = values.only?.split(',')
  const version = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
  console.error(`peer: ${version}`)
  for (const width of [64, 32] as const) {
    if (values.width !== undefined && Number(values.width) !== width) continue
    const programs = PROGRAMS.filter(
      ({ name, widths }) => (widths?.includes(width) ?? true) && (only?.includes(name) ?? true),
    )
    const peers = (values.peers.split(',').filter((peer) => peer !== '') as PeerName[]).filter(
      (peer) => peer !== 'v86' || width === 32,
    )
    // oxlint-disable-next-line no-await-in-loop -- one guest at a time
    await withGuest(width, programs, (guest) => compare(guest, programs, peers, Number(values.rounds), values.retrap))
  }
}

async function compare(
  guest: Guest,
  programs: readonly Program[],
  peers: readonly PeerName[],
  rounds: number,
  options: readonly string[],
): Promise<void> {
  const runs = new Map<PeerName, Run[]>()
  for (let round = 0; round < rounds; round++) {
    for (const peer of ['retrap' as const, ...peers]) {
      // oxlint-disable-next-line no-await-in-loop -- in turns, never beside each other
      runs.set(peer, [...(runs.get(peer) ?? []), await measure(peer, guest, options)])
    }
  }
  checkResults(runs)
  const ours = medians(runs.get('retrap') ?? [])
  for (const peer of peers) {
    const theirs = medians(runs.get(peer) ?? [])
    const title = peer === 'tcg' ? 'TCG' : 'v86'
    for (const name of ['boot', ...programs.map((program) => program.name)]) {
      const [own, other] = [ours.get(name), theirs.get(name)]
      if (own === undefined || other === undefined) continue
      console.log(
        `jit${guest.width}-${name}: ${(other.processor / own.processor).toFixed(2)} x ${title} ` +
          `(${own.processor.toFixed(2)} s against ${other.processor.toFixed(2)} s of processor time; ` +
          `in the guest ${own.guest.toFixed(2)} s against ${other.guest.toFixed(2)} s)`,
      )
    }
    const mean = (chosen: readonly Program[]): string =>
      geometricMean(chosen.map(({ name }) => (theirs.get(name)?.processor ?? NaN) / (ours.get(name)?.processor ?? NaN)))
    console.log(`jit${guest.width}: ${mean(programs)} x ${title} (geometric mean of ${programs.length} programs)`)
    const floats = programs.filter(({ isFloat }) => isFloat === true)
    if (floats.length > 0 && guest.width === 64) {
      console.log(
        `jit fp: ${mean(floats)} x ${title} (geometric mean of ${floats.length} programs with SSE floating point)`,
      )
    }
  }
}

/** Boots an emulator, and reads its processor time at the marks. */
async function measure(peer: PeerName, guest: Guest, options: readonly string[]): Promise<Run> {
  const times = new Map<string, Times>()
  const results = new Map<string, string>()
  let seen = 0
  let begun = NaN
  let startOfKernel = NaN
  const [program, args] = commandOf(peer, guest, options)
  const { code, stdout, stderr } = await runProgram(program, args, {
    deadlineMs: DEADLINE_MS,
    onOutput(output, pid) {
      const processor = processTime(pid)
      if (Number.isNaN(startOfKernel) && output.includes(FIRST_LINE)) startOfKernel = processor
      for (const [mark, kind, name = '', seconds] of output
        .slice(seen)
        .matchAll(/^@(\w+)(?: (\S+))?(?: (\S+) \d+)?\r?\n/gm)) {
        seen = output.indexOf(mark, seen) + mark.length
        if (kind === 'begin') begun = processor
        if (kind === 'ready') times.set('boot', { processor: processor - startOfKernel, guest: NaN })
        if (kind !== 'end') continue
        results.set(name, resultOf(output, name))
        if (!name.startsWith('[')) times.set(name, { processor: processor - begun, guest: Number(seconds) })
      }
    },
  })
  if (!stdout.includes('\n@done')) throw new Error(`${peer} ended with ${code}:\n${stdout.slice(-2000)}${stderr}`)
  return { times, results }
}

/** The lines between a program's marks, without what the kernel says in between. */
function resultOf(output: string, name: string): string {
  const between = output.slice(output.lastIndexOf(`@begin ${name}`), output.lastIndexOf(`@end ${name}`))
  return between
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== '' && !/^\[ *\d+\.\d+\]/.test(line))
    .join('\n')
}

function checkResults(runs: ReadonlyMap<PeerName, readonly Run[]>): void {
  const all = [...runs].flatMap(([peer, list]) => list.map(({ results }) => ({ peer, results })))
  for (const { peer, results } of all) {
    for (const [name, text] of results) {
      const expected = all[0]?.results.get(name)
      if (text !== expected) throw new Error(`${name} on ${peer} printed '${text}', on retrap '${expected}'`)
    }
  }
}

function medians(runs: readonly Run[]): ReadonlyMap<string, Times> {
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN
  const names = [...(runs[0]?.times.keys() ?? [])]
  return new Map(
    names.map((name) => {
      const all = runs.map(({ times }) => times.get(name)).filter((time) => time !== undefined)
      return [name, { processor: median(all.map((t) => t.processor)), guest: median(all.map((t) => t.guest)) }]
    }),
  )
}

const geometricMean = (ratios: readonly number[]): string =>
  Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length).toFixed(2)
