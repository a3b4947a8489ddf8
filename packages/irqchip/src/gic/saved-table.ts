import { fieldsPart, type StatePart, viewed } from '@retrap/device'
import { listedWords, namedWords } from '../saved-words.ts'
import type { InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'

/** Fields with a bit for each interrupt, by their names in saved states. */
const BANKS = {
  group1: L.GROUP,
  enabled: L.ENABLED,
  latched: L.LATCHED,
  active: L.ACTIVE,
  lines: L.LINES,
  edge: L.EDGE,
}
/** Words of a processor's block. */
const PRIVATE = {
  ...BANKS,
  priorityMask: L.PRIORITY_MASK,
  binaryPoint0: L.BINARY_POINT_0,
  binaryPoint1: L.BINARY_POINT_1,
  control: L.INTERFACE_CONTROL,
  groups: L.GROUP_ENABLES,
  activePriorities0: L.ACTIVE_PRIORITIES_0,
  activePriorities1: L.ACTIVE_PRIORITIES_1,
  waker: L.WAKER,
  redistributorControl: L.REDISTRIBUTOR_CONTROL,
  lpiPropertiesLo: L.LPI_PROPERTIES_LO,
  lpiPropertiesHi: L.LPI_PROPERTIES_HI,
  lpiPendingLo: L.LPI_PENDING_LO,
  lpiPendingHi: L.LPI_PENDING_HI,
}

/**
 * Returns the parts that save a GIC's interrupts. Lists begin with INTID 32, which is bit 0 of the first word of a bank; routes
 * are affinities, in a GICv2 masks of processors. `cpus` has the private interrupts and the interface of each processor.
 */
export function savedTable(table: InterruptTable): { readonly [name: string]: StatePart | readonly StatePart[] } {
  const { words, end, bankWords } = table
  const bank = (index: number): StatePart =>
    viewed(
      () => Array.from({ length: bankWords - 1 }, (_, i) => words[table.wordOf(index, 0, i + 1)]! >>> 0),
      (list) => list.forEach((word, i) => (words[table.wordOf(index, 0, i + 1)] = word & table.implemented(i + 1))),
    )
  const priorities = (cpu: number, first: number, count: number): StatePart =>
    viewed(
      () => Array.from({ length: count }, (_, i) => table.priorityOf(cpu, first + i)),
      (list) => list.forEach((priority, i) => table.setPriority(cpu, first + i, priority)),
    )
  return {
    control: viewed(
      () => words[L.DISTRIBUTOR_CONTROL]!,
      (control) => (words[L.DISTRIBUTOR_CONTROL] = control),
    ),
    ...Object.fromEntries(Object.entries({ ...BANKS, anyCpu: L.ANY_CPU }).map(([name, at]) => [name, bank(at)])),
    priorities: priorities(0, 32, end - 32),
    routes: viewed(
      () => [...listedWords(words, L.ROUTES + 32, end - 32)],
      (list) => words.set(list, L.ROUTES + 32),
    ),
    cpus: Array.from({ length: table.cpus }, (_, cpu) =>
      fieldsPart(
        { words: namedWords(words, PRIVATE, table.block(cpu)), priorities: priorities(cpu, 0, 32) },
        { flat: ['words'] },
      ),
    ),
  }
}
