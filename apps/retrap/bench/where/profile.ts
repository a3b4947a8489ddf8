// Runs retrap with a profiler: Debian's perf, or V8's own where perf may not run.
import { spawn, spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { hasProgram } from '@retrap/tooling/skip'
import { provideDebianPrograms } from '@retrap/tooling/programs'
import { type Run, runMarked, type Span } from '../marked-guest.ts'
import { Classes } from './classes.ts'
import { CodeMap, listedCode, type UnitBytes, unitBytes } from './code-map.ts'
import { type CpuProfile, perfSamples, profileSamples } from './samples.ts'
import { sourceNames } from './sources.ts'

const DEADLINE_MS = 3_600_000
/** Samples a second unless said otherwise: no divisor of the timer's rate. */
export const RATE = 997
/** V8 writes a log as well when it tells perf of code: not into the folder where the bench was started. */
const logIn = (folder: string): readonly string[] => ['--no-logfile-per-isolate', `--logfile=${join(folder, 'v8.log')}`]
const PARANOID = '/proc/sys/kernel/perf_event_paranoid'

/** A run under a profiler. */
export interface Profile {
  readonly run: Run
  readonly classes: Classes
  /** Undefined where perf may not run. */
  readonly unitBytes: UnitBytes | undefined
}

/** Returns why perf may not be used here, and what would help; undefined where it may. */
export async function whyNoPerf(): Promise<string | undefined> {
  await provideDebianPrograms({ table: [{ packages: ['linux-perf'], programs: ['perf'] }] })
  if (!hasProgram('perf')) return 'there is no perf: it is in Debian\'s package linux-perf ("apt install linux-perf")'
  const trial = spawnSync('perf', ['record', '-q', '-e', 'cpu-clock', '-o', '-', '--', 'true'], { maxBuffer: 1 << 26 })
  if (trial.status === 0) return undefined
  const [first = ''] = trial.stderr.toString().split('\n')
  return (
    `perf may not run here: ${first.trim() || trial.error?.message}; kernel.perf_event_paranoid is ${paranoid()}. ` +
    `What helps: "sysctl kernel.perf_event_paranoid=1" as root, or to run this as root, and outside of a container`
  )
}

const paranoid = (): string => {
  try {
    return readFileSync(PARANOID, 'latin1').trim()
  } catch {
    return 'unknown'
  }
}

/** What is profiled. */
export interface ProfileOptions {
  /** Node's program and its arguments, as of a run without a profiler. */
  readonly command: readonly [string, readonly string[]]
  /** The program between whose marks samples count; all of the run unless given. */
  readonly name?: string
  readonly rate?: number
}

/** Runs retrap under perf. */
export async function profileByPerf({ command, name, rate = RATE }: ProfileOptions): Promise<Profile> {
  const [node, args] = command
  return withFolder(async (folder) => {
    const data = join(folder, 'perf.data')
    const flags = ['--perf-prof', `--perf-prof-path=${folder}`, '--interpreted-frames-native-stack', ...logIn(folder)]
    const run = await runMarked(
      'perf',
      // prettier-ignore
      ['record', '-q', '-k', 'mono', '-o', data, '-F', String(rate), '-e', 'cpu-clock', '--call-graph', 'fp', '--',
        node, ...flags, ...args],
      DEADLINE_MS,
    )
    const fields = ['-F', 'comm,pid,tid,time,ip,sym,dso']
    const script = spawn('perf', ['script', '-i', data, ...fields], { stdio: ['ignore', 'pipe', 'ignore'] })
    const classes = new Classes()
    const span = spanOf(run, name)
    const code = new CodeMap(readFileSync(join(folder, globSync('jit-*.dump', { cwd: folder })[0] ?? '')))
    const reader = { rate, fileOf: sourceNames(), nameAt: code.nameAt.bind(code) }
    for await (const sample of perfSamples(createInterface({ input: script.stdout }), reader)) {
      if (isWithin(sample, span)) classes.add(sample)
    }
    return { run, classes, unitBytes: unitBytes(code.all) }
  })
}

/** Runs retrap without a profiler, for the code that V8 makes of units. */
export async function runWithMap([node, args]: ProfileOptions['command']): Promise<Profile> {
  return withFolder(async (folder) => {
    const flags = ['--perf-basic-prof', `--perf-basic-prof-path=${folder}`, ...logIn(folder)]
    const run = await runMarked(node, [...flags, ...args], DEADLINE_MS)
    const text = globSync('perf-*.map', { cwd: folder }).map((name) => readFileSync(join(folder, name), 'utf8'))
    return { run, classes: new Classes(), unitBytes: unitBytes(listedCode(text.join(''))) }
  })
}

/** Runs retrap with V8's own profiler: it takes samples of JavaScript and Wasm of the first thread. */
export async function profileByV8({ command, name, rate = RATE }: ProfileOptions): Promise<Profile> {
  const [node, args] = command
  return withFolder(async (folder) => {
    const interval = Math.round(1e6 / rate)
    const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${interval}`]
    const run = await runMarked(node, [...flags, ...args], DEADLINE_MS)
    const classes = new Classes()
    const span = spanOf(run, name)
    const fileOf = sourceNames()
    for (const file of globSync('*.cpuprofile', { cwd: folder })) {
      const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile
      for (const sample of profileSamples(profile, fileOf)) {
        if (isWithin(sample, span)) classes.add(sample)
      }
    }
    return { run, classes, unitBytes: undefined }
  })
}

function spanOf(run: Run, name: string | undefined): Pick<Span, 'from' | 'to'> {
  if (name === undefined) return { from: -Infinity, to: Infinity }
  const span = run.spans.get(name)
  if (span === undefined) throw new Error(`the guest has no marks of ${name}:\n${run.stderr}`)
  return span
}

const isWithin = ({ time }: { readonly time: number }, { from, to }: Pick<Span, 'from' | 'to'>): boolean =>
  time >= from && time <= to

async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-where-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
