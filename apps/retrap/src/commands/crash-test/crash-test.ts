/** `retrap crash-test`: states of a disk, losses, and their plans. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import {
  type ClusterInput,
  type CrashedInterval,
  type CrashesOptions,
  type CrashLoss,
  type DiskLog,
  type DiskPages,
  exploreCrashes,
  GENERATOR,
  type LostSectors,
  type MachineInput,
  pagesAfter,
  type Plan,
  readCluster,
  timeText,
  type WorkRun,
} from '@retrap/cluster'
import type { PullPolicy } from '@retrap/oci/node'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import { ExitCode } from '../../exit-codes.ts'
import { ext4Owners } from '../../guests/linux/ext4-blocks.ts'
import { splitImage } from '@retrap/linux-guest/jobs/root'
import { readVariable } from '../../options/container-options.ts'
import { plainListed } from '../../print-lines.ts'
import { madeWith } from '../cluster/made-with.ts'
import { howOf, recordOnce } from '../cluster/once.ts'
import { type ClusterOutputs, lanesWithin, withCluster } from '../cluster/run-cluster.ts'
import { hostOf, withLanes } from '../cluster/workers.ts'
import { writeReport } from '../test/reports.ts'

const MACHINE = 'machine'
const PATH = '/data'
/** How long the machine is off, and the time in which faults come beside that of the work. */
const OFF_NS = 1e6
const MORE_MS = 100
const PROGRESS_MS = 5000
const [SECTOR_BYTES, BLOCK_BYTES] = [512, 4096]

/** The values of the options. Times are in milliseconds. */
export interface CrashTestFlags {
  readonly work: string
  readonly check: string
  readonly image?: string
  readonly pull?: PullPolicy
  readonly root?: string
  readonly arch: NonNullable<MachineInput['arch']>
  readonly share?: readonly string[]
  readonly env?: readonly string[]
  readonly user?: string
  readonly memory: string
  readonly disk: string
  readonly seed: number
  readonly tear: '512' | '4096'
  readonly for: number
  readonly timeout: number
  readonly jobs?: number
  readonly out?: string
  readonly junit?: string
  readonly jsonl?: boolean
}

/** Prints an event: as a line of JSON, or as lines for people. */
type Tell = (event: { readonly kind: string } & Record<string, unknown>, lines: readonly string[]) => void

/** @returns the exit code @throws CliError for a machine that cannot be made, or work that fails without a crash */
export async function runCrashTest(flags: CrashTestFlags, outputs: ClusterOutputs): Promise<number> {
  const { out, seed, jobs, jsonl = false, pull } = flags
  const { stdout, stderr } = outputs
  const begin = performance.now()
  const folder = out ?? mkdtempSync(join(tmpdir(), 'retrap-crash-'))
  const file = join(folder, 'cluster.json')
  const tell: Tell = (event, lines) =>
    void stdout.write(jsonl ? `${JSON.stringify(event)}\n` : lines.map(plainListed).join(''))
  try {
    write(file, inputOf(flags))
    return await withCluster(file, { ...(pull && { pull }) }, true, stderr, async (cluster) => {
      const { description, parts, signal } = cluster
      const check = { machine: MACHINE, words: shell(flags.check), limit: flags.timeout * 1e6 }
      const options = { check, seed, signal, tearBytes: Number(flags.tear), ...progress(flags, tell, cluster.tell) }
      const { work, intervals, states, disks, leftOut } = await withLanes(
        { ...cluster, seed },
        jobs ?? lanesWithin(description),
        (lanes) => exploreCrashes(lanes, options),
      )
      if (work.result.failure !== undefined && !signal.aborted)
        throw new CliError('ERR_INPUT', `without a crash: ${work.result.failure}`)
      tell(
        { kind: 'flushes', flushes: intervals.map(({ loss, ...one }) => ({ ...one, lost: loss !== undefined })) },
        table(intervals),
      )
      const made = await madeWith(file, description)
      const repeated = inputOf(flags, Math.ceil((work.result.ns - work.begin) / 1e6) + MORE_MS)
      if (out !== undefined) write(file, repeated)
      const run = { file, description: { ...description, faults: readCluster(repeated).faults }, seed }
      const lost = intervals.flatMap(({ loss }) =>
        loss === undefined ? [] : [toldOf(loss, work, { seed, made, folder })],
      )
      for (const { plan, path, lines, ...event } of lost) {
        const again = out === undefined ? [] : [`  retrap cluster run ${file} --plan ${path}.json`]
        tell({ kind: 'loss', ...event, plan }, [...lines, ...again])
        if (out !== undefined) write(`${path}.json`, plan)
      }
      const firsts = new Map(lost.toReversed().map((one) => [one.plan.failure.replace(/:.*/s, ''), one]))
      for (const { plan, path } of out === undefined || signal.aborted ? [] : firsts.values()) {
        const host = hostOf(parts, 1, cluster.tell)
        const where = { path: `${path}.run`, given: ['run', file, '--plan', `${path}.json`], madeWith: made, stderr }
        try {
          const { failure = 'ok' } = await recordOnce({ ...run, host, how: howOf(plan) }, { signal }, where)
          if (failure !== plan.failure) cluster.tell(`${path}.run: the recorded run ended otherwise: ${failure}`)
        } finally {
          await host.close()
        }
      }
      const ms = performance.now() - begin
      const held = leftOut > 0 || signal.aborted ? 'nothing was lost until then' : 'all held'
      const verdict =
        lost.length === 0 ? held : `after ${lost.length} of ${intervals.length - 1} flushes something is lost`
      tell(
        {
          kind: 'crash-test',
          seed,
          states,
          disks,
          leftOut,
          flushes: intervals.length - 1,
          lost: lost.length,
          stopped: signal.aborted,
        },
        [`${states} states (${disks} different disks) in ${(ms / 1000).toFixed(1)} s, ${leftOut} left out: ${verdict}`],
      )
      const cases = intervals.map(({ flush }) => ({
        name: `flush ${flush}`,
        ms: ms / intervals.length,
        failure: lost.find((one) => one.flush === flush)?.lines.join('\n'),
      }))
      await writeReport(flags.junit, new Map([['crash-test', cases]]))
      return signal.aborted ? ExitCode.signal(2) : lost.length > 0 ? ExitCode.TestFailed : ExitCode.PowerOff
    })
  } finally {
    if (out === undefined) rmSync(folder, { recursive: true, force: true })
  }
}

function write(path: string, value: object): void {
  attempt(
    path,
    () => {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`)
    },
    'write',
  )
}

const shell = (command: string): readonly string[] => ['/bin/sh', '-c', command]

/** The machine, as a `cluster.json` has it. @param faultsMs - the time in which faults may come */
function inputOf(
  { arch, image, root, share = [], env = [], user, memory, disk, work, check }: CrashTestFlags,
  faultsMs = 0,
): ClusterInput {
  const path = image === undefined ? undefined : splitImage(image).path
  const variables = env.flatMap((text) => readVariable(text, process.env) ?? [])
  return {
    machines: [
      {
        name: MACHINE,
        ...{ arch, memory, disk },
        ...(image !== undefined && { image: existsSync(path!) ? resolve(image) : image }),
        ...(root !== undefined && { root: resolve(root) }),
        share: share.map((one) => (one.startsWith('/') ? one : `${process.cwd()}/${one}`)),
        env: Object.fromEntries(variables.map((text) => text.split(/=(.*)/s, 2) as [string, string])),
        ...(user !== undefined && { user }),
      },
    ],
    // Nothing is sent: long windows take fewer steps.
    network: { latency: '10ms', jitter: '0s' },
    workload: { on: MACHINE, drivers: [shell(work)], check: shell(check) },
    faults: { for: `${faultsMs}ms`, heal: '0s' },
  }
}

/** Callbacks that tell of states. */
function progress(
  flags: CrashTestFlags,
  tell: Tell,
  note: (text: string) => void,
): Pick<CrashesOptions, 'goesOn' | 'onWork' | 'onState'> {
  let [begin, states, lost, all, told] = [0, 0, 0, 0, 0]
  return {
    goesOn: () => performance.now() - begin < flags.for,
    onWork({ log: { writes, flushes }, begin: from, result }, count) {
      begin = told = performance.now()
      all = count
      note(
        `${writes.length} writes and ${flushes.length} flushes in ${timeText(result.ns - from)} of the machine's time: ${count} states`,
      )
    },
    onState({ interval: { flush }, lost: { length } }, failure) {
      states++
      if (failure !== undefined) lost++
      if (flags.jsonl === true) tell({ kind: 'state', flush, lost: length, failure }, [])
      else if (performance.now() - told > PROGRESS_MS) {
        told = performance.now()
        note(`${states} of ${all} states, ${lost} of them lost`)
      }
    },
  }
}

/** Rows of flushes. Successive ones that held are one row. */
function table(intervals: readonly CrashedInterval[]): string[] {
  const rows: { first: number; last: number; writes: number; states: number; result: string }[] = []
  for (const { flush, from, until, states, loss } of intervals) {
    const result =
      loss === undefined
        ? states === 0
          ? 'not seen'
          : 'held'
        : `LOST ${loss.lost.length === 0 ? 'with all' : `without ${loss.lost.length}`} of its writes`
    const row = rows.at(-1)
    if (row !== undefined && row.result === result && loss === undefined)
      Object.assign(row, { last: flush, writes: row.writes + until - from, states: row.states + states })
    else rows.push({ first: flush, last: flush, writes: until - from, states, result })
  }
  const cells = rows.map(({ first, last, writes, states, result }) => [
    first === last ? `${first}` : `${first}-${last}`,
    `${writes}`,
    `${states}`,
    result,
  ])
  return [['after flush', 'writes', 'states', ''], ...cells].map(
    ([flush = '', writes = '', states = '', result = '']) =>
      `${flush.padStart(11)}  ${writes.padStart(6)}  ${states.padStart(6)}  ${result}`.trimEnd(),
  )
}

/** A loss, with its lines for people, and the path of its plan and recording without their endings. */
function toldOf(
  { interval: { flush, ns, from, until }, lost, failure, output }: CrashLoss,
  work: WorkRun,
  { seed, made, folder }: { readonly seed: number; readonly made: string; readonly folder: string },
) {
  const fault = { kind: 'power', at: ns - work.begin, for: OFF_NS, machines: [MACHINE], lost } as const
  const plan: Plan = { seed, draws: GENERATOR, branch: 0, failure, faults: [fault], madeWith: made }
  const without = namesOf(lost, work.log, pagesAfter(work.log, from, until, []))
  const lines = [`flush ${flush}: ${failure}`, `  lost: ${without}`, ...output.map((line) => `  | ${line}`)]
  return { flush, without, output, plan, lines, path: join(folder, `flush-${flush}`) }
}

/** Names the files that lost writes belong to. */
function namesOf(lost: readonly LostSectors[], log: DiskLog, pages: DiskPages): string {
  const ownerOf = ext4Owners((block) => pages.get(block))
  const bytesOf = new Map<string, number>()
  for (const { write, first, count } of lost) {
    const begin = log.writes[write - log.before]!.offset + first * SECTOR_BYTES
    for (let at = begin; at < begin + count * SECTOR_BYTES; at += SECTOR_BYTES) {
      const owner = ownerOf(Math.floor(at / BLOCK_BYTES))
      bytesOf.set(owner, (bytesOf.get(owner) ?? 0) + SECTOR_BYTES)
    }
  }
  const parts = [...bytesOf].map(
    ([owner, bytes]) => `${owner.startsWith('/') ? PATH : ''}${owner} (${bytes / 1024} KiB)`,
  )
  return parts.join(', ') || 'no write: what is missing was not written yet'
}
