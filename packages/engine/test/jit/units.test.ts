// Which unit is given up first, and how long its code is kept.
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import type { UnitCode } from '../../src/jit/unit-code.ts'
import { UnitCodes } from '../../src/jit/unit-codes.ts'
import { CodePage } from '../../src/code-page.ts'
import { UNIT_ENTERED, type LiveUnit, type UnitEntries } from '../../src/jit/unit.ts'
import { Units } from '../../src/jit/units.ts'

const FIRST_ENTRY = 100
const SOURCE = {
  mode: 0,
  offset: 0,
  deltas: [0],
  instructions: { at: new Int32Array(), from: new Uint32Array(1), bytes: new Uint8Array() },
  recordPositions: [],
  branches: [],
  actions: new Map(),
  assumptions: [],
}

function entriesOf(table: Map<number, object>): UnitEntries {
  return { install: (module, entry) => void table.set(entry, module), uninstall: (entry) => void table.delete(entry) }
}

/** Code of 10 bytes each, with keys from 0, and the table that it is in. */
function codesOf(count: number): { codes: UnitCodes; all: UnitCode[]; table: Map<number, object> } {
  const codes = new UnitCodes(FIRST_ENTRY)
  const table = new Map<number, object>()
  codes.addTable(entriesOf(table))
  const all = Array.from({ length: count }, (_, key) => codes.add({}, 10, { ...SOURCE, key }))
  return { codes, all, table }
}

function unitsOf(count: number): { units: Units; all: LiveUnit[]; enter: (i: number) => void } {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const units = new Units(memory)
  const [code] = codesOf(1).all
  const all = Array.from({ length: count }, (_, i): LiveUnit => {
    const nothing = { branches: new Map(), deltas: new Map(), records: [] }
    const page = new CodePage(0, 0, 0)
    const unit = { record: 0x1000 + 32 * i, page, offset: 0, pages: [], code: code!, idle: 0, ...nothing }
    units.add(unit)
    return unit
  })
  return { units, all, enter: (i) => void (memory.u8[all[i]!.record + UNIT_ENTERED] = 1) }
}

test('the unit that has not been entered for longest goes first', () => {
  const { units, all, enter } = unitsOf(3)
  const evict = (time: number): LiveUnit | undefined => {
    units.age(time)
    return units.evict()
  }
  for (const i of [0, 1, 2]) enter(i)
  // All have been entered.
  expect(evict(2000)).toBeUndefined()
  enter(0)
  enter(2)
  expect(evict(2248)).toBeUndefined()
  expect(evict(2250)).toBe(all[1])
  enter(0)
  expect(evict(2500)).toBe(all[2])
  // 0 has been entered.
  expect(evict(2500)).toBeUndefined()
  expect(evict(2750)).toBe(all[0])
  expect(evict(3000)).toBeUndefined()
  expect(units.byRecord.size).toBe(0)
})

test('code without units is kept until its room is needed, what was used longest ago first', () => {
  const { codes, all, table } = codesOf(3)
  for (const code of all) codes.take(code)
  expect([codes.bytes, codes.keptBytes, codes.dropOldest()]).toEqual([30, 0, false])
  codes.release(all[2]!, true)
  codes.release(all[0]!, true)
  expect([codes.bytes, codes.keptBytes, table.size]).toEqual([30, 20, 3])
  expect(codes.of(2)).toEqual([all[2]])
  codes.dropOldest()
  expect([codes.bytes, codes.keptBytes]).toEqual([20, 10])
  expect([codes.of(2), codes.of(0)]).toEqual([[], [all[0]]])
  expect([...table.keys()]).toEqual([FIRST_ENTRY, FIRST_ENTRY + 1])
})

test('code of two units is kept for the second when the first is given up', () => {
  const { codes, all, table } = codesOf(1)
  codes.take(all[0]!)
  codes.take(all[0]!)
  codes.release(all[0]!, false)
  expect([codes.keptBytes, table.size]).toEqual([0, 1])
  codes.release(all[0]!, false)
  expect([codes.bytes, table.size]).toEqual([0, 0])
})

test('code for which there is better code is found no more, and goes with its last unit', () => {
  const { codes, all } = codesOf(1)
  const [old] = all as [UnitCode]
  codes.take(old)
  const better = codes.add({}, 25, { ...SOURCE, key: 0 })
  codes.replace(old, better)
  expect(codes.of(0)).toEqual([better])
  expect(codes.latest(old)).toBe(better)
  codes.release(old, true)
  expect(codes.bytes).toBe(25)
  codes.dropOldest()
  expect(codes.latest(old)).toBe(old)
})

test('of code that begins alike the latest is found, and older code goes with its units', () => {
  const { codes, all } = codesOf(1)
  const [used] = all as [UnitCode]
  codes.take(used)
  const others = Array.from({ length: 6 }, () => codes.add({}, 10, { ...SOURCE, key: 0 }))
  expect(codes.of(0)).toEqual(others.slice(2))
  expect(codes.bytes).toBe(50)
  codes.release(used, true)
  expect(codes.bytes).toBe(40)
})

test('an entry of the table that has become empty is used for the next code', () => {
  const { codes, all, table } = codesOf(3)
  codes.take(all[1]!)
  codes.release(all[1]!, false)
  expect([...table.keys()]).toEqual([FIRST_ENTRY, FIRST_ENTRY + 2])
  expect(codes.add({}, 10, { ...SOURCE, key: 9 }).entry).toBe(all[1]!.entry)
})

test('a table that comes later gets the code that there is', () => {
  const { codes, all, table } = codesOf(3)
  const later = new Map<number, object>()
  codes.addTable(entriesOf(later))
  expect([...later]).toEqual([...table])
  expect([...later]).toEqual(all.map(({ entry, module }) => [entry, module]))
  for (let i = 0; i < 3; i++) codes.dropOldest()
  expect([later.size, table.size, codes.bytes]).toEqual([0, 0, 0])
})
