// Which unit is given up first, and what is left of it.
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { UNIT_ENTERED } from '../../src/jit/unit.ts'
import type { LiveUnit } from '../../src/jit/unit.ts'
import { Units } from '../../src/jit/units.ts'

const FIRST_ENTRY = 100

/** Units of 10 bytes each, by the numbers of their records, and the table that they are in. */
function unitsOf(count: number): {
  units: Units
  all: LiveUnit[]
  table: Map<number, object>
  enter: (i: number) => void
} {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const units = new Units(memory, FIRST_ENTRY)
  const table = new Map<number, object>()
  units.addRunner({
    state: 0,
    executeSlots: () => -1,
    install: (module, entry) => void table.set(entry, module),
    uninstall: (entry) => void table.delete(entry),
  })
  const all = Array.from({ length: count }, (_, i): LiveUnit => {
    const entry = units.reserve()
    const module = {}
    units.install(module, entry)
    const unit = { record: 0x1000 + 32 * i, entry, offset: 0, pages: [], module, bytes: 10, idle: 0, ...NOTHING }
    units.add(unit)
    return unit
  })
  return { units, all, table, enter: (i) => void (memory.u8[all[i]!.record + UNIT_ENTERED] = 1) }
}

const NOTHING = { branches: new Map(), targetCount: 0, deltas: new Map(), records: [], witnesses: new Map() }

test('the one that has not been entered for longest goes first', () => {
  const { units, all, enter } = unitsOf(3)
  for (const i of [0, 1, 2]) enter(i)
  // All have been entered.
  expect(units.evict(2000)).toBeUndefined()
  enter(0)
  enter(2)
  expect(units.evict(2998)).toBeUndefined()
  expect(units.evict(3000)).toBe(all[1])
  enter(0)
  expect(units.evict(4000)).toBe(all[2])
  // 0 has been entered.
  expect(units.evict(4000)).toBeUndefined()
  expect(units.evict(5000)).toBe(all[0])
  expect(units.evict(6000)).toBeUndefined()
})

test('its entry of the table is empty, and the next unit gets it', () => {
  const { units, all, table } = unitsOf(3)
  units.evict(2000)
  expect([...table.keys()]).toEqual([FIRST_ENTRY + 1, FIRST_ENTRY + 2])
  expect(units.reserve()).toBe(all[0]!.entry)
  expect(units.bytes).toBe(20)
})

test('a processor that comes later gets the units that there are; all lose them together', () => {
  const { units, all, table } = unitsOf(3)
  const later = new Map<number, object>()
  units.addRunner({
    state: 0,
    executeSlots: () => -1,
    install: (module, entry) => void later.set(entry, module),
    uninstall: (entry) => void later.delete(entry),
  })
  expect([...later]).toEqual([...table])
  expect([...later]).toEqual(all.map(({ entry, module }) => [entry, module]))
  expect([units.count, units.bytes]).toEqual([3, 30])
  units.clear()
  expect([later.size, table.size, units.count, units.bytes]).toEqual([0, 0, 0, 0])
})
