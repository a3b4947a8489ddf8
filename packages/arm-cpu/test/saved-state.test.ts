/** The state of a processor, saved and restored. */
import { expect, test } from 'vitest'
import { MachineMemory } from '@retrap/memory'
import { ArmCpu, ArmDebugControl, ArmEngine, FlatHost, SYSTEM_REGISTERS } from '../src/index.ts'
import type { KeyName, SavedArmCpu } from '../src/index.ts'
import * as S from '../src/state/state-layout.ts'
import { atEl0, vectorOf } from './support/el1.ts'
import { CODE, SVC } from './support/machine.ts'

const SCTLR_EL1 = 0x34d4_dd1dn
const EL1 = 0x345
const A32 = 0x0800_0010
/** In an IT block: ITSTATE 0x9c. */
const THUMB = 0x0000_9c30

/** What an instruction may have left to later ones. */
const LEFT = [
  [S.S_WAITING, 2],
  [S.S_STEPPED, 3],
  [S.S_EXCLUSIVE_BYTES, 16],
  [S.S_EXCLUSIVE_ADDRESS, 0x5_4320],
  [S.S_EXCLUSIVE_ADDRESS + 4, 0x1234],
  [S.S_EXCLUSIVE_VALUE, 78],
  [S.S_EXCLUSIVE_VALUE + 12, 77],
] as const

function fresh(): ArmCpu {
  const memory = MachineMemory.create({ bytes: 40 << 20 })
  const cpu = new ArmCpu(new ArmEngine(memory, { codeCacheBytes: 1 << 20 }), new FlatHost(memory, 0x1000, 0x10000))
  cpu.registers.reset()
  return cpu
}

/** Has all that is saved be different, as far as it can be. */
function fill(cpu: ArmCpu, pstate: number): void {
  const { registers, memory, state } = cpu
  registers.pc = 0x1234_5678n
  registers.pstate = pstate
  registers.nzcv = 0xa000_0000
  SYSTEM_REGISTERS.forEach((name, i) => registers.set(name, 0x1_0000_0007n * BigInt(i + 3)))
  registers.set('hcr_el2', (1n << 31n) | 1n)
  registers.set('sctlr_el1', SCTLR_EL1)
  for (let i = 0; i < 31; i++) registers.setX(i, 0xfedc_ba98_0000_0000n + BigInt(i))
  for (let i = 0; i < 32; i++) registers.setV(i, (0x8877_6655_4433_2211n << 64n) + BigInt(i))
  for (const [i, key] of (['IA', 'IB', 'DA', 'DB', 'GA'] as KeyName[]).entries())
    registers.setKey(key, (0x9999_0000_0000_0000n << 64n) + BigInt(i))
  registers.fpcr = 0x0340_0000
  registers.fpsr = 0x0800_0011
  for (const [place, value] of LEFT) memory.u32[(state + place) >>> 2] = value
  cpu.setSerror(true)
  cpu.signalEvent()
}

/** What follows from the state, in the processor's own words. */
function derived({ memory, state }: ArmCpu): number[] {
  const level = Array.from({ length: S.LEVEL_BYTES / 4 }, (_, i) => S.S_LEVEL + 4 * i)
  const words = [S.S_ATTENTION, S.S_KEYS_ENABLED, S.S_POINTERS, S.S_TAKES_EXCEPTIONS, ...level]
  // The first two of a level are the TLB's addresses.
  return words.map((place, i) => memory.u32[(state + place) >>> 2]! - (i === 4 || i === 5 ? state : 0))
}

const copyOf = (saved: SavedArmCpu): SavedArmCpu => JSON.parse(JSON.stringify(saved)) as SavedArmCpu

test.each([
  ['EL1', EL1],
  ['EL0', 0],
  ['A32', A32],
  ['Thumb in an IT block', THUMB],
])('all of a processor in %s is in its saved state', (_name, pstate) => {
  const first = fresh()
  fill(first, pstate)
  const saved = first.registers.save()
  const second = fresh()
  second.registers.restore(copyOf(saved))
  expect(second.registers.save()).toEqual(saved)
  expect(derived(second)).toEqual(derived(first))
  const { registers, memory, state } = second
  for (const [place, value] of LEFT) expect([place, memory.u32[(state + place) >>> 2]]).toEqual([place, value])
  expect(memory.u32[(state + S.S_EVENTS) >>> 2]).toBe(S.EVENT_REGISTER | S.EVENT_SERROR)
  expect([registers.fpcr, registers.fpsr, registers.x(30)]).toEqual([0x0340_0000, 0x0800_0011, 0xfedc_ba98_0000_001en])
  expect([registers.pstate, registers.nzcv, registers.pc]).toEqual([pstate, 0xa000_0000, 0x1234_5678n])
  for (const name of SYSTEM_REGISTERS) expect([name, registers.get(name)]).toEqual([name, first.registers.get(name)])
  expect(registers.v(31)).toBe((0x8877_6655_4433_2211n << 64n) + 31n)
  expect(registers.key('GA')).toBe((0x9999_0000_0000_0000n << 64n) + 4n)
  expect(second.dormant).toBe(first.dormant)
})

test('the levels of interrupts are their drivers’', () => {
  const first = fresh()
  first.registers.pstate = 5
  first.setIrq(true)
  const saved = first.registers.save()
  const second = fresh()
  second.registers.restore(saved)
  expect(second.interruptWaits).toBe(false)
  second.setIrq(true)
  second.registers.restore(saved)
  expect(second.interruptWaits).toBe(true)
})

test('SVC that a debugger has caught is taken by another processor, too', () => {
  const [first, second] = [atEl0(SVC, SVC), atEl0(SVC, SVC)]
  new ArmDebugControl(first).catchFault(0x15, true)
  expect(first.run(10)).toEqual({ reason: 'debug' })
  second.registers.restore(copyOf(first.registers.save()))
  expect([vectorOf(second), second.registers.get('elr_el1')]).toEqual(['+400', BigInt(CODE + 4)])
})

const example = fresh()
fill(example, EL1)
const whole = example.registers.save()

const changed = (change: (saved: Record<string, unknown>) => void): SavedArmCpu => {
  const saved = copyOf(whole)
  change(saved as unknown as Record<string, unknown>)
  return saved
}

/** Every field of a saved state, by part and name. */
const fields = Object.entries(whole).flatMap(([part, value]) =>
  typeof value === 'object' ? Object.keys(value as object).map((name) => [part, name] as const) : [[part, ''] as const],
)

test('a state without any one field is refused, and nothing has changed', () => {
  expect(fields.length).toBeGreaterThan(120)
  const cpu = fresh()
  const before = cpu.registers.save()
  for (const [part, name] of fields) {
    const saved = changed((all) => {
      if (name === '') delete all[part]
      else delete (all[part] as Record<string, unknown>)[name]
    })
    const refusal = expect.objectContaining({ code: 'ERR_SAVED_STATE' }) as unknown
    expect(() => cpu.registers.restore(saved), `${part} ${name}`).toThrow(refusal as Error)
  }
  expect(cpu.registers.save()).toEqual(before)
})

test.each<[string, string, unknown, string]>([
  ['version', '', 2, 'version 2: expected 1'],
  ['registers', 'pstate', '0x8', 'saved pstate 0x8: expected EL0, EL1'],
  ['registers', 'x0', '0x12345678901234567', 'at most 16 hexadecimal digits'],
  ['registers', 'x1', 'seven', 'saved x1 seven'],
  ['pending', 'waiting', '0x4', 'saved waiting 0x4: expected at most 3'],
  ['vectors', '', null, 'has no vectors'],
])('a state whose %s %s is %s is refused', (part, name, value, message) => {
  const saved = changed((all) => {
    if (name === '') Object.assign(all, { [part]: value })
    else Object.assign(all[part] as object, { [name]: value })
  })
  expect(() => fresh().registers.restore(saved)).toThrow(message)
})
