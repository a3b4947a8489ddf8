// Which unit is given up first.
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import type { UnitCode } from '../../src/jit/unit-code.ts'
import { CodePage } from '../../src/code-page.ts'
import { UNIT_ENTERED, type LiveUnit } from '../../src/jit/unit.ts'
import { Units } from '../../src/jit/units.ts'

function unitsOf(count: number): { units: Units; all: LiveUnit[]; enter: (i: number) => void } {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const units = new Units(memory)
  const all = Array.from({ length: count }, (_, i): LiveUnit => {
    const nothing = { branches: new Map(), deltas: new Map(), records: [] }
    const page = new CodePage(0, 0, 0)
    const unit = { record: 0x1000 + 32 * i, page, offset: 0, pages: [], code: {} as UnitCode, idle: 0, ...nothing }
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
