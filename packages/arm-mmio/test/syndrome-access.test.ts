/** Stores that a valid syndrome describes, of all sizes (DDI 0487, "ESR_EL2, ISS encoding for an exception from a Data Abort"). */
import { expect, test } from 'vitest'
import { ArmEmulator, STATUS_DONE, STATUS_FAULT } from '../src/index.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, soleOrder } from './support/flat-world.ts'

const [ISV, SF, STORE] = [1 << 24, 1 << 15, 1 << 6]
/** SCTLR_EL1.E0E, PSTATE.E. */
const [E0E, PSTATE_E] = [1 << 24, 1 << 9]
const VALUE = '8899aabbccddeeff'

/** Stores a register. @returns what the device sees */
function store(aarch32: boolean, hsr: boolean, register: number, sizeLog2: number, bigEndian: boolean): string {
  const world = new FlatWorld()
  const vcpu = flatVcpu(aarch32)
  if (bigEndian && aarch32) vcpu.pstate |= PSTATE_E
  else if (bigEndian) Object.assign(vcpu.system, { sctlr: vcpu.system.sctlr | E0E })
  vcpu.x.fill(0x5555_5555)
  vcpu.x.set([0xccdd_eeff, 0x8899_aabb], 2 * register)
  const abort = abortAt(DEVICE_BASE + 8, true)
  const esr = (abort.esr | ISV | (sizeLog2 << 22) | (register << 16) | (sizeLog2 === 3 ? SF : 0) | STORE) >>> 0
  expect(new ArmEmulator(vcpu, world, soleOrder()).handle({ ...abort, esr, hsr })).toBe(STATUS_DONE)
  expect(vcpu.pc[0]).toBe(CODE_BASE + 4)
  expect(world.seen).toMatchObject([{ write: true, offset: 8 }])
  return world.seen[0]!.data
}

const reversed = (hex: string): string => Buffer.from(hex, 'hex').reverse().toString('hex')

test.each([
  { state: 'AArch64', aarch32: false, hsr: false, sizes: [0, 1, 2, 3] },
  { state: 'AArch32', aarch32: true, hsr: false, sizes: [0, 1, 2] },
  { state: 'AArch32 as HSR has it', aarch32: true, hsr: true, sizes: [0, 1, 2] },
])('$state: the low bytes of the register, in the order of the data', ({ aarch32, hsr, sizes }) => {
  for (const sizeLog2 of sizes) {
    const bytes = VALUE.slice(-2 << sizeLog2)
    for (const register of [0, 7, 12]) {
      const of = (bigEndian: boolean): string => store(aarch32, hsr, register, sizeLog2, bigEndian)
      expect([of(false), of(true)]).toEqual([reversed(bytes), bytes])
    }
  }
})

test.each([
  // What lies at the program counter is no load or store.
  [false, STATUS_FAULT, []],
  [true, STATUS_DONE, [{ write: true, offset: 0, data: 'ffee' }]],
])('at the first byte of a page, whole syndromes %s', (wholeSyndromes, outcome, seen) => {
  const world = new FlatWorld()
  const vcpu = flatVcpu(false)
  vcpu.x.set([0xccdd_eeff, 0x8899_aabb], 0)
  const abort = abortAt(DEVICE_BASE, true)
  const esr = (abort.esr | ISV | (1 << 22) | STORE) >>> 0
  const emulator = new ArmEmulator(vcpu, world, soleOrder(), { wholeSyndromes })
  expect(emulator.handle({ ...abort, esr })).toBe(outcome)
  expect(world.seen).toMatchObject(seen)
})
