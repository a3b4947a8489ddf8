import { ICC_IAR0_EL1, ICC_IAR1_EL1 } from '../../src/gic/index.ts'
import { INTERFACES, describe, type Board, type Operation } from './operations.ts'

/** What all comparisons have performed. */
export const done = { operations: 0, acknowledged: 0, lpis: 0 }

/** Performs operations on two boards from power-on. Returns the first difference, for a person, and what led to it. */
export async function difference(
  ours: Board,
  theirs: Board,
  operations: readonly Operation[],
  isKnown: (each: Operation, ours: bigint | string, theirs: bigint | string) => boolean,
): Promise<{ readonly text: string; readonly before: readonly string[] } | void> {
  await theirs.reset()
  await ours.reset()
  const wanted = await theirs.perform(operations)
  const found = await ours.perform(operations)
  count(operations, wanted)
  const at = operations.findIndex((each, i) => found[i] !== wanted[i] && !isKnown(each, found[i]!, wanted[i]!))
  if (at < 0) return
  const text = (value: bigint | string): string => (typeof value === 'string' ? value : `0x${value.toString(16)}`)
  const before = operations.slice(0, at + 1).map((each, i) => `${describe(each)} -> ${text(wanted[i]!)}`)
  return { text: `${describe(operations[at]!)} gives ${text(found[at]!)}, QEMU's ${text(wanted[at]!)}`, before }
}

function count(operations: readonly Operation[], results: readonly (bigint | string)[]): void {
  done.operations += operations.length
  operations.forEach((each, i) => {
    if (!acknowledges(each)) return
    if (results[i] !== 1023n && results[i] !== 1022n) done.acknowledged++
    if (Number(results[i]) >= 8192) done.lpis++
  })
}

function acknowledges(each: Operation): boolean {
  if (each.kind === 'line' || each.write) return false
  if (each.kind === 'memory') return each.address === INTERFACES + 0x0c
  return each.encoding === ICC_IAR0_EL1 || each.encoding === ICC_IAR1_EL1
}
