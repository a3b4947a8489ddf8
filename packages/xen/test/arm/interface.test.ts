/** The convention, and the answers that differ from those to x86 guests (public header arch-arm.h). */
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import {
  ARGUMENTS,
  CODE,
  FINISH,
  hypercall,
  load,
  msr,
  RAM,
  RAM_FRAMES,
  XenArmTestGuest,
} from '../support/arm-guest.ts'

const test = sliceTests(3)

const SELF = 0x7ff0
/* Encodings of system registers, op0:op1:CRn:CRm:op2. */
const [SCTLR, TTBR0, TCR, MAIR] = [0xc080, 0xc100, 0xc102, 0xc510] as const
const [MEMORY_OP, XEN_VERSION, VCPU_OP, SCHED_OP, HVM_OP] = [12, 17, 24, 29, 34] as const
const [EPERM, EFAULT, EINVAL, ENOSYS] = [-1, -14, -22, -38] as const

describe('the convention', () => {
  test('has the number in X16, arguments from X0 on, and the result in X0', async () => {
    const guest = new XenArmTestGuest()
    expect(await guest.call(XEN_VERSION, 0)).toBe(0x4_0011)
    expect(await guest.call(XEN_VERSION, 7, 0)).toBe(0x1000)
    expect([await guest.call((1n << 32n) | 17n, 0), await guest.call(0xffff_ffff_ffff_ffffn)]).toEqual([ENOSYS, ENOSYS])
  })

  // 15 is set_timer_op, which x86 guests have; 23 to 41 belong to toolstacks and PV guests.
  test.each([0, 1, 11, 15, 23, 27, 35, 39, 42, 63, 64, 1000])('number %i is nobody’s', async (number) => {
    expect(await new XenArmTestGuest().call(number)).toBe(ENOSYS)
  })

  test('has another number in HVC, and SMC, as calls that there are not', async () => {
    const guest = new XenArmTestGuest()
    const code = RAM + 0x1_0000
    for (const word of [0xd400_0002 | (0xea0 << 5), 0xd400_0003 | (0xea1 << 5)]) {
      guest.write32(code, word)
      expect(await guest.call(XEN_VERSION, 0)).toBe(-1)
    }
    expect(guest.domain.vcpus[0]?.hypercalls).toBe(0)
  })

  test('pointers are virtual addresses of EL1, which reach RAM only', async () => {
    const guest = new XenArmTestGuest()
    const handle = (pointer: number | bigint): Promise<number> => guest.call(XEN_VERSION, 8, pointer)
    expect(await handle(ARGUMENTS + 0xff8)).toBe(0)
    for (const pointer of [0x0900_0000, 0x0800_0000, RAM + RAM_FRAMES * 0x1000 - 8, 0xffff_ffff_ffff_fff8n])
      expect(await handle(pointer)).toBe(EFAULT)
  })
})

test('a pointer is translated by the table that the guest has just switched to', async () => {
  const guest = new XenArmTestGuest()
  const [first, second] = [RAM + 0x5_0000, RAM + 0x5_1000]
  // Blocks of 1 GiB: what is at a place, and in the second table RAM at 3 GiB as well.
  const BLOCK = 0x401
  guest.write64(first, BLOCK, RAM + BLOCK, 0, 0)
  guest.write64(second, BLOCK, RAM + BLOCK, 0, RAM + BLOCK)
  const set = (encoding: number, value: number): number[] => [...load(9, value), msr(9, encoding)]
  guest.program(CODE, [
    ...set(MAIR, 0xff),
    ...set(TCR, 32 | (1 << 23)),
    ...set(TTBR0, first),
    ...set(SCTLR, 0x30d0_0801),
    ...set(TTBR0, second),
    ...hypercall(XEN_VERSION, 8, 0xc000_0000 + ARGUMENTS - RAM),
    ...FINISH,
  ])
  await guest.run()
  expect(Number(BigInt.asIntN(64, guest.registers.x(0)))).toBe(0)
})

test('xen_version says what an Arm guest runs on', async () => {
  const guest = new XenArmTestGuest()
  expect(await guest.call(XEN_VERSION, 3, ARGUMENTS)).toBe(0)
  expect(String.fromCharCode(...guest.read(ARGUMENTS, 17))).toBe('xen-3.0-aarch64\0\0')
  guest.write32(ARGUMENTS, 0, 0)
  expect(await guest.call(XEN_VERSION, 6, ARGUMENTS)).toBe(0)
  // Writable page tables, translated, virtual nodes, SMC Calling Convention, not direct mapped.
  expect(guest.read32(ARGUMENTS + 4)).toBe(0x1_6005)
})

describe('hvm_op', () => {
  const parameter = async (guest: XenArmTestGuest, operation: 0 | 1, index: number, value = 0n) => {
    guest.write32(ARGUMENTS, SELF, index)
    guest.write64(ARGUMENTS + 8, value)
    return [await guest.call(HVM_OP, operation, ARGUMENTS), guest.read64(ARGUMENTS + 8)]
  }

  test('tells of the interrupt of events: private, level-sensitive, low', async () => {
    expect(await parameter(new XenArmTestGuest(), 1, 0)).toEqual([0, 0x0200_0000_0000_021fn])
  })

  test('tells of pages and ports, which the guest cannot change', async () => {
    const guest = new XenArmTestGuest()
    const [store, console] = [await parameter(guest, 1, 1), await parameter(guest, 1, 17)]
    expect([store, console]).toEqual([
      [0, 0xc000n],
      [0, 0xc001n],
    ])
    // server_features of struct xenstore_domain_interface: reconnection and errors (public header io/xs_wire.h).
    expect(guest.read32(0xc00_0000 + 2064)).toBe(3)
    for (const index of [0, 1, 2, 17, 18]) expect((await parameter(guest, 0, index, 5n))[0]).toBe(EPERM)
    for (const index of [3, 19, 34, 38, 39, 2 ** 31]) {
      expect((await parameter(guest, 0, index, 5n))[0]).toBe(EINVAL)
      expect((await parameter(guest, 1, index))[0]).toBe(EINVAL)
    }
  })

  test('has none of the operations of x86 guests', async () => {
    const guest = new XenArmTestGuest()
    for (const operation of [5, 9, 10, 11, 15, 23, 25, 99])
      expect(await guest.call(HVM_OP, operation, ARGUMENTS)).toBe(ENOSYS)
    expect([await guest.call(HVM_OP, 24, 0), await guest.call(HVM_OP, 24, 8)]).toEqual([0, EINVAL])
  })
})

test('vcpu_op places vcpu_info and the runstate area, and does no more', async () => {
  const guest = new XenArmTestGuest({ vcpus: 2 })
  for (let operation = 0; operation < 15; operation++)
    if (operation !== 5 && operation !== 10) expect(await guest.call(VCPU_OP, operation, 0, ARGUMENTS)).toBe(EINVAL)
  // It has 48 bytes: that many from the page's end on are its own.
  const frame = ARGUMENTS / 0x1000 + 1
  guest.write64(ARGUMENTS, frame, 0x1000 - 40)
  expect(await guest.call(VCPU_OP, 10, 0, ARGUMENTS)).toBe(EINVAL)
  guest.write64(ARGUMENTS, frame, 0x1000 - 48)
  expect(await guest.call(VCPU_OP, 10, 0, ARGUMENTS)).toBe(0)
  // What may have got lost is looked at once: the flag, and all of the selector.
  expect([guest.read(ARGUMENTS + 0x1fd0, 1)[0], guest.read64(ARGUMENTS + 0x1fd8)]).toEqual([1, 0xffff_ffff_ffff_ffffn])
  expect(await guest.call(VCPU_OP, 10, 0, ARGUMENTS)).toBe(EINVAL)
  // A stop leaves the rest of the turn, in which the clock stands.
  guest.domain.clock.advance(1000)
  guest.write64(ARGUMENTS, ARGUMENTS + 0x100)
  expect(await guest.call(VCPU_OP, 5, 0, ARGUMENTS)).toBe(0)
  // Running, and the times that it has been so.
  expect(guest.read32(ARGUMENTS + 0x100)).toBe(0)
  expect(guest.read64(ARGUMENTS + 0x110)).toBeGreaterThan(0n)
})

describe('memory_op', () => {
  test('puts the shared page among RAM, whose frame goes back', async () => {
    const guest = new XenArmTestGuest({ xen: { epochSeconds: 0x1_0000_0005 } })
    const { frames } = guest.domain.p2m
    const place = ARGUMENTS / 0x1000 + 1
    guest.write32(ARGUMENTS, SELF, 0)
    guest.write64(ARGUMENTS + 8, 0, place)
    expect(await guest.call(MEMORY_OP, 7, ARGUMENTS)).toBe(0)
    expect([guest.domain.p2m.frames, guest.xen.memory.current]).toEqual([frames, RAM_FRAMES - 1])
    // The wall clock, behind one vcpu_info and two bitmaps of 4,096 ports: version, seconds, nanoseconds, upper half.
    const page = place * 0x1000
    expect([1072, 1076, 1080, 1084].map((at) => guest.read32(page + at))).toEqual([4, 5, 0, 1])
  })

  test('puts the grant table where the guest wants it', async () => {
    const guest = new XenArmTestGuest()
    for (let i = 0; i < 3; i++) {
      guest.write32(ARGUMENTS, SELF, 1)
      guest.write64(ARGUMENTS + 8, i, 0xb000 + i)
      expect(await guest.call(MEMORY_OP, 7, ARGUMENTS)).toBe(0)
    }
    // A grant of frame `given` to itself, which is mapped elsewhere.
    const given = RAM / 0x1000 + 0x80
    guest.write32(0xb00_0000 + 80, 1 | (1 << 16), given)
    guest.write64(ARGUMENTS, 0xd00_0000)
    guest.write32(ARGUMENTS + 8, 2, 10, 1)
    expect(await guest.call(20, 0, ARGUMENTS, 1)).toBe(0)
    expect(guest.read32(ARGUMENTS + 16) >>> 16).toBe(0)
    guest.write32(given * 0x1000, 0x1234)
    expect(guest.read32(0xd00_0000)).toBe(0x1234)
    guest.write64(ARGUMENTS, 0xd00_0000, 0)
    guest.write32(ARGUMENTS + 16, guest.read32(ARGUMENTS + 20), 0)
    expect(await guest.call(20, 1, ARGUMENTS, 1)).toBe(0)
    expect(guest.domain.p2m.translate(0xd00_0000)).toBe(-1)
  })

  test('knows how much RAM there is, and where the last of it', async () => {
    const guest = new XenArmTestGuest({ xen: { maxFrames: 2000 } })
    guest.write32(ARGUMENTS, SELF)
    const ask = (command: number): Promise<number> => guest.call(MEMORY_OP, command, ARGUMENTS)
    expect([await ask(3), await ask(4), await ask(14)]).toEqual([RAM_FRAMES, 2000, RAM / 0x1000 + RAM_FRAMES - 1])
  })

  test.each([5, 8, 9, 10, 12, 13, 16, 17, 20, 21, 22, 25, 27, 28])('has no command %i', async (command) => {
    expect(await new XenArmTestGuest().call(MEMORY_OP, command, ARGUMENTS)).toBe(ENOSYS)
  })
})

test.each([
  { reason: 0, exit: { reason: 'power-off' } },
  { reason: 1, exit: { reason: 'reset' } },
  { reason: 3, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'crash' } },
])('SCHEDOP_shutdown with reason $reason ends the domain', async ({ reason, exit }) => {
  const guest = new XenArmTestGuest()
  guest.write32(ARGUMENTS, reason)
  await guest.call(SCHED_OP, 2, ARGUMENTS)
  expect(guest.exit).toEqual(exit)
})

test('console_io prints, where somebody listens', async () => {
  const text: string[] = []
  const guest = new XenArmTestGuest({ xen: { console: (bytes) => text.push(String.fromCharCode(...bytes)) } })
  guest.write(ARGUMENTS, new TextEncoder().encode('hello'))
  expect(await guest.call(18, 0, 5, ARGUMENTS)).toBe(0)
  expect(text.join('')).toBe('hello')
})

test('a reset forgets what the guest has done, and keeps what the toolstack has said', async () => {
  const guest = new XenArmTestGuest()
  guest.xen.parameters.set(0, 0)
  guest.domain.reset()
  guest.write32(ARGUMENTS, SELF, 0)
  expect(await guest.call(HVM_OP, 1, ARGUMENTS)).toBe(0)
  expect(guest.read64(ARGUMENTS + 8)).toBe(0x0200_0000_0000_021fn)
})

test('its state is data, and comes back', async () => {
  const guest = new XenArmTestGuest()
  guest.write64(ARGUMENTS, ARGUMENTS / 0x1000 + 1, 0x1000 - 48)
  expect(await guest.call(VCPU_OP, 10, 0, ARGUMENTS)).toBe(0)
  const saved = structuredClone(guest.xen.save())
  const other = new XenArmTestGuest()
  other.xen.restore(saved)
  expect(other.xen.save()).toEqual(saved)
  // The flag was set when vcpu_info found its place: so is the interrupt.
  other.enableEvents()
  expect(other.domain.architecture.gic.wires.irqPending(0)).toBe(true)
})
