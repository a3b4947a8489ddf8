import type { P2mStatistics } from '@retrap/p2m'
import type { MachineExit } from '@retrap/machine'
import type { JitCounts } from '@retrap/x86-cpu'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { describeMap } from '../listing.ts'

/** The cost of a run. `--stats json` prints this object. */
export interface RunStatistics {
  readonly reason: MachineExit['reason']
  readonly exitCode: number
  /** Guest instructions retired, over all vCPUs. */
  readonly instructions: number
  readonly wallSeconds: number
  /** User and system time of the whole process, compilation threads included. */
  readonly cpuSeconds: number
  /** Millions of instructions per second of wall time. */
  readonly mips: number
  readonly tlbMisses: number
  /** Exits from generated code, by kind. */
  readonly exits: Readonly<Record<string, number>>
  /** The machine's other counters. */
  readonly counts: Readonly<Record<string, unknown>>
  /** Accesses to the task priority register; fields after `traps` exist with a TPR patcher only. */
  readonly taskPriority: {
    readonly traps: number
    readonly patchedSites?: number
    readonly polls?: number
    /** Calls of the TPR patcher's helper. Null: another vendor's option ROM, which does not count them. */
    readonly helperCalls?: number | null
  }
  readonly memory: {
    readonly guestBytes: number
    readonly residentBytes: number
    readonly peakResidentBytes: number
  }
  /** The map of guest frames at the end. */
  readonly p2m: P2mStatistics
  /** Number of resets, which leave the other counters unchanged. */
  readonly resets: number
}

/** Reads the clocks as it is made, so that a later reading gives the difference. */
export class Stopwatch {
  readonly #wallMs = performance.now()
  readonly #cpu = process.cpuUsage()

  wallSeconds(): number {
    return (performance.now() - this.#wallMs) / 1000
  }

  cpuSeconds(): number {
    const { user, system } = process.cpuUsage(this.#cpu)
    return (user + system) / 1e6
  }
}

export interface Measured {
  readonly machine: Machine
  readonly stopwatch: Stopwatch
  readonly exit: MachineExit
  readonly exitCode: number
  readonly guestBytes: number
  readonly resets: number
}

export function measure(run: Measured): RunStatistics {
  const { instructions, tlbMisses, exits, p2m, tprTraps, vapic, ...counts } = run.machine.statistics()
  const wallSeconds = run.stopwatch.wallSeconds()
  return {
    reason: run.exit.reason,
    exitCode: run.exitCode,
    instructions,
    wallSeconds: round(wallSeconds, 3),
    cpuSeconds: round(run.stopwatch.cpuSeconds(), 3),
    mips: round(instructions / wallSeconds / 1e6, 2),
    tlbMisses,
    exits,
    counts: { ...counts },
    taskPriority: {
      traps: tprTraps ?? 0,
      ...(vapic && { ...vapic, helperCalls: vapic.helperCalls ?? null }),
    },
    memory: {
      guestBytes: run.guestBytes,
      residentBytes: process.memoryUsage.rss(),
      peakResidentBytes: process.resourceUsage().maxRSS * 1024,
    },
    p2m,
    resets: run.resets,
  }
}

/** Returns the statistics as lines for people. */
export function formatStatistics(statistics: RunStatistics): string {
  const { memory, exits } = statistics
  const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`
  const rows: [string, string][] = [
    ['ended by', statistics.reason],
    ['instructions', group(statistics.instructions)],
    ['wall time', `${statistics.wallSeconds.toFixed(2)} s`],
    ['CPU time', `${statistics.cpuSeconds.toFixed(2)} s`],
    ['speed', `${statistics.mips.toFixed(1)} MIPS`],
    ['TLB misses', group(statistics.tlbMisses)],
    ...formatJit(statistics.counts['jit'] as JitCounts | undefined, statistics.instructions),
    ['exits', byCount(exits)],
    ...formatExclusive(Number(statistics.counts['exclusiveInstructions'] ?? 0)),
    [
      'memory',
      `${mib(memory.residentBytes)} resident (at most ${mib(memory.peakResidentBytes)}), guest RAM ${mib(memory.guestBytes)}`,
    ],
  ]
  rows.push(['guest map', describeMap(statistics.p2m)])
  const { traps, patchedSites, polls = 0, helperCalls } = statistics.taskPriority
  if (patchedSites !== undefined) {
    const calls =
      helperCalls === null || helperCalls === undefined
        ? 'helper calls not counted'
        : `${group(helperCalls)} helper calls`
    rows.push(['TPR', `${group(traps)} traps, ${group(patchedSites)} patched sites, ${calls}, ${group(polls)} polls`])
  }
  if (statistics.resets > 0) rows.push(['resets', `${statistics.resets}`])
  return rows.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join('')
}

function formatExclusive(instructions: number): [string, string][] {
  return instructions === 0
    ? []
    : [['exclusive', `${group(instructions)} locked instructions that all vCPUs waited for`]]
}

function formatJit(counts: JitCounts | undefined, retired: number): [string, string][] {
  if (counts === undefined) return []
  const { units, helped, live, liveBytes, revived, loaded, keptBytes, evictions, instructions, distinct, bytes } =
    counts
  const { failures, firstFailure } = counts
  const { milliseconds, longestMilliseconds, medianMilliseconds, executed, exits } = counts
  const { compiledMilliseconds, interpretedMilliseconds } = counts
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
  const percent = (100 * executed) / Math.max(1, retired)
  const size = (count: number): string => `${(count / 1024).toFixed(0)} KiB`
  const failed: [string, string][] =
    failures > 0 ? [['JIT errors', `${group(failures)}, interpreted instead; the first: ${firstFailure}`]] : []
  return [
    [
      'JIT',
      `${group(units)} units of ${group(instructions)} instructions (${group(distinct)} distinct), ${size(bytes)}, compiled in ${milliseconds.toFixed(0)} ms, and ${group(helped)} of them by another thread; ${group(live)} live, ${size(liveBytes)}; ${group(revived)} revived, ${group(loaded)} from the cache, ${size(keptBytes)} kept; ${group(evictions)} given up for room`,
    ],
    [
      'JIT waits',
      `median ${medianMilliseconds.toFixed(1)} ms, longest ${longestMilliseconds.toFixed(1)} ms, from hot to installed`,
    ],
    [
      'executed',
      `${group(executed)} instructions compiled (${percent.toFixed(1)} %), ${group(Math.max(0, retired - executed))} interpreted`,
    ],
    [
      'time',
      `compiled code ${seconds(compiledMilliseconds)}, interpreter ${seconds(interpretedMilliseconds)}, compiler ${seconds(milliseconds)}`,
    ],
    ['JIT exits', byCount(exits)],
    ...failed,
  ]
}

/** Returns the counts, most first; zeros are left out. */
function byCount(counts: Readonly<Record<string, number>>): string {
  const counted = Object.entries(counts).filter(([, count]) => count > 0)
  const sorted = counted.toSorted(([, a], [, b]) => b - a)
  return sorted.map(([name, count]) => `${name} ${group(count)}`).join(', ') || 'none'
}

function group(count: number): string {
  return count.toLocaleString('en-US')
}

function round(value: number, digits: number): number {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : 0
}
