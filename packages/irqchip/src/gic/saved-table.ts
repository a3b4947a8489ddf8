import { restoreWords, saveWords } from '../arguments.ts'
import type { InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'

/** Words with a bit for each interrupt: group 1, enabled, made pending, active, levels of the inputs, triggered by edges. */
type Bank = 'group1' | 'enabled' | 'latched' | 'active' | 'lines' | 'edge'
type PrivateWord =
  | Bank
  | `binaryPoint${0 | 1}`
  | `activePriorities${0 | 1}`
  | `lpi${'Properties' | 'Pending'}${'Lo' | 'Hi'}`
  | 'priorityMask'
  | 'control'
  | 'groups'
  | 'waker'
  | 'redistributorControl'

/** Holds the saved state of a processor's private interrupts, and of its interface. */
export interface GicCpuState extends Readonly<Record<PrivateWord, number>> {
  /** Priorities of INTID 0 to 31. */
  readonly priorities: readonly number[]
}

/**
 * Holds the saved state of a GIC's interrupts. Lists begin with INTID 32, which is bit 0 of the first word of a bank; routes are
 * affinities, in a GICv2 masks of processors.
 */
export interface InterruptTableState extends Readonly<
  Record<Bank | 'anyCpu' | 'priorities' | 'routes', readonly number[]>
> {
  /** Enabled groups of GICD_CTLR. */
  readonly control: number
  /** Private interrupts and interface of each processor. */
  readonly cpus: readonly GicCpuState[]
}

/** Fields with a bit for each interrupt, by their names in saved states. */
const BANKS: Readonly<Record<Bank, number>> = {
  group1: L.GROUP,
  enabled: L.ENABLED,
  latched: L.LATCHED,
  active: L.ACTIVE,
  lines: L.LINES,
  edge: L.EDGE,
}
const SHARED = { ...BANKS, anyCpu: L.ANY_CPU }
const SHARED_NAMES = Object.keys(SHARED) as (keyof typeof SHARED)[]
/** Words of a processor's block. */
const PRIVATE: Readonly<Record<PrivateWord, number>> = {
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

/** Returns the state of all interrupts by name. */
export function saveTable(table: InterruptTable): InterruptTableState {
  const { words, end, bankWords } = table
  const bank = (index: number): number[] =>
    Array.from({ length: bankWords - 1 }, (_, i) => words[table.wordOf(index, 0, i + 1)]! >>> 0)
  const shared = Object.fromEntries(SHARED_NAMES.map((name) => [name, bank(SHARED[name])]))
  return {
    control: words[L.DISTRIBUTOR_CONTROL]!,
    ...(shared as Record<keyof typeof SHARED, number[]>),
    priorities: Array.from({ length: end - 32 }, (_, i) => table.priorityOf(0, 32 + i)),
    routes: Array.from({ length: end - 32 }, (_, i) => words[L.ROUTES + 32 + i]! >>> 0),
    cpus: Array.from({ length: table.cpus }, (_, cpu) => saveCpu(table, cpu)),
  }
}

function saveCpu(table: InterruptTable, cpu: number): GicCpuState {
  return {
    ...saveWords(table.words, PRIVATE, table.block(cpu)),
    priorities: Array.from({ length: 32 }, (_, intid) => table.priorityOf(cpu, intid)),
  }
}

/** Takes a saved state, whose shape was checked. */
export function restoreTable(table: InterruptTable, state: InterruptTableState): void {
  const { words } = table
  words[L.DISTRIBUTOR_CONTROL] = state.control
  for (const name of SHARED_NAMES) {
    state[name].forEach((word, i) => (words[table.wordOf(SHARED[name], 0, i + 1)] = word & table.implemented(i + 1)))
  }
  state.priorities.forEach((priority, i) => table.setPriority(0, 32 + i, priority))
  state.routes.forEach((route, i) => (words[L.ROUTES + 32 + i] = route))
  state.cpus.forEach((each, cpu) => {
    restoreWords(words, PRIVATE, each, table.block(cpu))
    each.priorities.forEach((priority, intid) => table.setPriority(cpu, intid, priority))
  })
}
