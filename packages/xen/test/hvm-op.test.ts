import { P2mType } from '@retrap/p2m'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { ARGUMENTS, MODES, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const EOPNOTSUPP = -95
const HVM_OP = 34
const OP = { set: 0, get: 1, flush: 5, dying: 9, time: 10, trace: 11, type: 15, vector: 23, event: 24, altp2m: 25 }

/** Parameters, by what the guest may do with each (public header hvm/params.h). */
const RW = { callbackIrq: 0, storeEvtchn: 2, vm86Tss: 15, consoleEvtchn: 18, generationId: 34, vm86TssSized: 37 }
const R = { storePfn: 1, consolePfn: 17, altp2m: 35 }
const NEITHER = [3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 16, 20, 24, 26, 27, 28, 29, 31, 32, 33, 38]

async function set(guest: XenTestGuest, index: number, value: number | bigint, domid = SELF): Promise<number> {
  guest.write32(ARGUMENTS, domid, index)
  guest.write64(ARGUMENTS + 8, value)
  return guest.call(HVM_OP, OP.set, ARGUMENTS)
}

async function get(guest: XenTestGuest, index: number, domid = SELF): Promise<bigint | number> {
  guest.write32(ARGUMENTS, domid, index)
  guest.write64(ARGUMENTS + 8, 0x5555n)
  const result = await guest.call(HVM_OP, OP.get, ARGUMENTS)
  return result === 0 ? guest.read64(ARGUMENTS + 8) : result
}

describe.each(MODES)('parameters, %s caller', (mode) => {
  test.each(Object.entries(RW))('%s can be set and read', async (_name, index) => {
    const guest = new XenTestGuest(mode)
    expect(await set(guest, index, 0x1_2345_6789n)).toBe(0)
    expect(await get(guest, index)).toBe(0x1_2345_6789n)
    expect(await get(guest, index, 1)).toBe(0x1_2345_6789n)
  })

  test.each(Object.entries(R))('%s can be read', async (_name, index) => {
    const guest = new XenTestGuest(mode)
    guest.xen.parameters.set(index, 0xfeff_c000n)
    expect(await set(guest, index, 1)).toBe(E.PERM)
    expect(await get(guest, index)).toBe(0xfeff_c000n)
  })

  test('the others are not the guest’s', async () => {
    const guest = new XenTestGuest(mode)
    for (const index of NEITHER)
      expect([index, await set(guest, index, 0), await get(guest, index)]).toEqual([index, E.PERM, E.PERM])
    for (const index of [39, 40, 0xffff_ffff])
      expect([await set(guest, index, 0), await get(guest, index)]).toEqual([E.INVAL, E.INVAL])
  })

  test('values that cannot be', async () => {
    const guest = new XenTestGuest(mode)
    expect([await set(guest, 19, 0), await set(guest, 19, 1), await get(guest, 19)]).toEqual([0, E.INVAL, 0n])
    expect([await set(guest, 36, 4), await set(guest, 36, 8), await set(guest, 36, 5), await get(guest, 36)]).toEqual([
      0,
      0,
      E.INVAL,
      8n,
    ])
  })

  test('of others', async () => {
    const guest = new XenTestGuest(mode)
    expect([await set(guest, 0, 0, 0), await set(guest, 0, 0, 9)]).toEqual([E.PERM, E.SRCH])
    expect([await get(guest, 0, 0), await get(guest, 0, 9)]).toEqual([E.PERM, E.SRCH])
    expect([await set(guest, 39, 0, 9), await get(guest, 39, 9)]).toEqual([E.INVAL, E.INVAL])
    expect(await guest.call(HVM_OP, OP.set, 0x7000_0000)).toBe(E.FAULT)
    expect(await guest.call(HVM_OP, OP.get, 0x7000_0000)).toBe(E.FAULT)
  })
})

describe.each(MODES)('hvm_op, %s caller', (mode) => {
  test('flush_tlbs takes no argument', async () => {
    const guest = new XenTestGuest(mode)
    expect(await guest.call(HVM_OP, OP.flush, 0)).toBe(0)
    expect(await guest.call(HVM_OP, OP.flush, ARGUMENTS)).toBe(E.INVAL)
  })

  test('get_time is the domain’s', async () => {
    const guest = new XenTestGuest(mode)
    for (const instructions of [0, 1000]) {
      // A stop leaves the rest of the turn, in which the clock stands.
      guest.domain.clock.advance(instructions)
      expect(await guest.call(HVM_OP, OP.time, ARGUMENTS)).toBe(0)
      expect(Number(guest.read64(ARGUMENTS))).toBe(guest.domain.clock.now())
    }
    expect(guest.domain.clock.now()).toBeGreaterThan(0)
    expect(await guest.call(HVM_OP, OP.time, 0x7000_0000)).toBe(E.FAULT)
  })

  test('get_mem_type', async () => {
    const guest = new XenTestGuest(mode)
    guest.domain.p2m.setType(0x300, 1, P2mType.RAM_RO)
    const type = async (pfn: number | bigint, domid = SELF): Promise<number> => {
      guest.write32(ARGUMENTS, domid | 0x7777_0000, 0)
      guest.write64(ARGUMENTS + 8, pfn)
      const result = await guest.call(HVM_OP, OP.type, ARGUMENTS)
      return result === 0 ? guest.read32(ARGUMENTS) >>> 16 : result
    }
    expect([await type(0x200), await type(0x300), await type(0x1000), await type(2n ** 40n)]).toEqual([0, 1, 2, 2])
    expect([await type(0, 1), await type(0, 0), await type(0, 9)]).toEqual([0, E.PERM, E.SRCH])
  })

  test('set_evtchn_upcall_vector', async () => {
    const guest = new XenTestGuest(mode)
    const vector = async (vcpu: number, value: number): Promise<number> => {
      guest.write32(ARGUMENTS, vcpu, value)
      return guest.call(HVM_OP, OP.vector, ARGUMENTS)
    }
    expect([await vector(0, 0xf3), await vector(0, 15), await vector(1, 0xf3)]).toEqual([0, E.INVAL, E.NOENT])
    // The first 16 are exceptions'.
    expect(await vector(0, 16)).toBe(0)
  })

  test.each([
    { what: 'pagetable_dying: nothing has shadow page tables', op: OP.dying, is: E.INVAL },
    { what: 'pagetable_dying of a bad pointer', op: OP.dying, argument: 0x7000_0000, is: E.FAULT },
    { what: 'xentrace', op: OP.trace, is: 0 },
    { what: 'guest_request_vm_event with an argument', op: OP.event, is: E.INVAL },
    { what: 'guest_request_vm_event', op: OP.event, argument: 0, is: 0 },
    { what: 'altp2m', op: OP.altp2m, is: EOPNOTSUPP },
    { what: 'set_pci_intx_level, which is a device model’s', op: 2, is: E.NOSYS },
    { what: 'nothing', op: 77, is: E.NOSYS },
  ])('$what', async ({ op, is, argument = ARGUMENTS }) => {
    const guest = new XenTestGuest(mode)
    guest.write32(ARGUMENTS, op === OP.trace ? 1 | (28 << 16) : SELF)
    expect(await guest.call(HVM_OP, op, argument)).toBe(is)
  })

  test('a trace record that is too long', async () => {
    const guest = new XenTestGuest(mode)
    guest.write32(ARGUMENTS, 1 | (29 << 16))
    expect(await guest.call(HVM_OP, OP.trace, ARGUMENTS)).toBe(E.INVAL)
  })
})
