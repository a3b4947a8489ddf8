// The lines that the bench real prints.
import { BOOT, KERNEL, medians, type Run, type Times } from '../marked-guest.ts'
import { countsOf, type Counts, minus } from './counts.ts'
import type { EmulatorName } from './guest.ts'
import type { Program } from './programs.ts'

/** All runs of one guest. */
export type Runs = ReadonlyMap<EmulatorName, readonly Run[]>

/** A program's ratio. */
export interface Outcome {
  readonly name: string
  readonly ratio: number
}

/** A program of 500 processes, whose ratio is far from those of the others. */
const FORKS = 'forks'

const timesIn = (runs: Runs, emulator: EmulatorName, name: string): Times =>
  medians(runs.get(emulator) ?? []).get(name) ?? { processor: NaN, wall: NaN, guest: NaN }

/** What retrap's first run has counted. */
const firstCounts = (runs: Runs): Counts => countsOf(runs.get('retrap')?.[0]?.stderr ?? '')

const against = (own: number, other: number): string => `${own.toFixed(2)} s against ${other.toFixed(2)} s`

/**
 * Prints a program's lines.
 *
 * @param boot - what a run counts that only boots with the program's image
 */
export function report({ name }: Program, runs: Runs, boot: Counts): Outcome {
  const [own, other] = [timesIn(runs, 'retrap', name), timesIn(runs, 'tcg', name)]
  const ratio = other.processor / own.processor
  const { instructions, executed, compiled, distinct } = minus(firstCounts(runs), boot)
  console.log(
    `real-${name}: ${ratio.toFixed(2)} x TCG (${against(own.processor, other.processor)} of processor time; ` +
      `by the clock ${against(own.wall, other.wall)}; in the guest ${against(own.guest, other.guest)}; ` +
      `${(instructions / 1e6).toFixed(0)} million instructions, compiled: ${((100 * executed) / instructions).toFixed(1)} %, ` +
      `units of ${compiled} instructions, ${distinct} distinct)`,
  )
  if (runs.has('interpreter')) {
    const { processor } = timesIn(runs, 'interpreter', name)
    console.log(
      `real-${name}-interpreted: ${(other.processor / processor).toFixed(2)} x TCG (${processor.toFixed(2)} s with --jit off)`,
    )
  }
  return { name, ratio }
}

/**
 * The lines of the boot: from the emulator's start, from the kernel's first line, and with code that earlier boots have kept.
 *
 * @param boots - how many earlier ones
 */
export function describeBoot(runs: Runs, boots: number): string {
  const line = (title: string, emulator: EmulatorName, name: string, what: string): string => {
    const [own, other] = [timesIn(runs, emulator, name), timesIn(runs, 'tcg', name)]
    const { instructions, executed, compiled, distinct } = countsOf(runs.get(emulator)?.[0]?.stderr ?? '')
    return (
      `${title}: ${(other.processor / own.processor).toFixed(2)} x TCG (${what}: ` +
      `${against(own.processor, other.processor)} of processor time; by the clock ${against(own.wall, other.wall)}; ` +
      `compiled: ${((100 * executed) / instructions).toFixed(1)} %, units of ${compiled} instructions, ${distinct} distinct)`
    )
  }
  const whole = `from the emulator's start to the first process`
  return [
    line('boot', 'retrap', BOOT, whole),
    line('boot of the kernel', 'retrap', KERNEL, `from the kernel's first line to the first process`),
    line(`boot with kept code`, 'kept', BOOT, `of ${boots} boots, ${whole}`),
  ].join('\n')
}

/** Prints the mean of all programs, and the ratios that it hides. */
export function summarize(outcomes: readonly Outcome[]): void {
  const lowest = outcomes.reduce((a, b) => (b.ratio < a.ratio ? b : a))
  const forks = outcomes.find(({ name }) => name === FORKS)
  const others = outcomes.filter((outcome) => outcome !== forks)
  console.log(`real64: ${meanOf(outcomes)}`)
  if (forks !== undefined && others.length > 0) console.log(`real64 without forks: ${meanOf(others)}`)
  if (forks !== undefined) console.log(`forks: ${forks.ratio.toFixed(2)} x TCG`)
  console.log(`lowest: ${lowest.name}, ${lowest.ratio.toFixed(2)} x TCG`)
}

function meanOf(outcomes: readonly Outcome[]): string {
  const mean = Math.exp(outcomes.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / outcomes.length)
  return `${mean.toFixed(2)} x TCG (geometric mean of ${outcomes.length} programs)`
}
