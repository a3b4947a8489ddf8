import type { PcOptions } from '../../src/index.ts'
import type { Outcome } from './storm.ts'

/** How a machine treats the task priority register. */
export interface Setup {
  readonly name: string
  readonly vapic: PcOptions['vapic']
}

/** Where what two runs saw parts, as a line; undefined: nowhere. */
export function difference(expected: Outcome, actual: Outcome): string | undefined {
  if (expected.exit.reason !== actual.exit.reason || expected.exit.code !== actual.exit.code) {
    return `ended with ${JSON.stringify(actual.exit)}, not ${JSON.stringify(expected.exit)}`
  }
  if (expected.interrupts !== actual.interrupts) return `${actual.interrupts} interrupts, not ${expected.interrupts}`
  for (const [cpu, log] of expected.logs.entries()) {
    const other = actual.logs[cpu] ?? []
    const at = log.findIndex((entry, i) => entry !== other[i])
    if (at < 0 && log.length === other.length) continue
    const from = at < 0 ? log.length : at
    const show = (entries: readonly number[]): string =>
      entries
        .slice(Math.max(0, from - 3), from + 3)
        .map((entry) => entry.toString(16))
        .join(' ')
    return `processor ${cpu}, entry ${from}: … ${show(other)}, not … ${show(log)}`
  }
  return undefined
}
