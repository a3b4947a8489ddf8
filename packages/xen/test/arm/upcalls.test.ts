/** Events of an Arm guest: bits in its memory, and a private interrupt whose level follows evtchn_upcall_pending. */
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import {
  ARGUMENTS,
  CODE,
  ELR,
  ERET,
  FINISH,
  HYPERCALL,
  ICC_EOIR1,
  ICC_IAR1,
  RAM,
  SPSR,
  UNMASK,
  VBAR,
  VECTORS,
  WFI,
  XenArmTestGuest,
  branch,
  hypercall,
  load,
  mrs,
  msr,
  read,
  store,
} from '../support/arm-guest.ts'

const test = sliceTests(3)

const SELF = 0x7ff0
const [MEMORY_OP, VCPU_OP, SCHED_OP, EVENT_CHANNEL_OP] = [12, 24, 29, 32] as const
const [BIND_IPI, SEND] = [7, 4] as const
/** Where the guest has the shared page, and vCPU 0's vcpu_info. */
const SHARED = RAM + 0x8_0000
const INFO = RAM + 0x8_1000
/** Of struct shared_info and struct vcpu_info. */
const PENDING_BITS = 48
const SELECTOR = 8
/** STRB Wt, [Xn] */
const storeByte = (register: number, base: number): number => (0x3900_0000 | (base << 5) | register) >>> 0

/** A guest as a kernel has made it: shared page, vcpu_info, the interrupt, and IPI ports from 5 on. */
async function eventGuest(vcpus = 1): Promise<XenArmTestGuest> {
  const guest = new XenArmTestGuest({ vcpus })
  guest.write32(ARGUMENTS, SELF, 0)
  guest.write64(ARGUMENTS + 8, 0, SHARED / 0x1000)
  expect(await guest.call(MEMORY_OP, 7, ARGUMENTS)).toBe(0)
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    guest.write64(ARGUMENTS, INFO / 0x1000 + vcpu, 0)
    expect(await guest.call(VCPU_OP, 10, vcpu, ARGUMENTS)).toBe(0)
    guest.write64(INFO + vcpu * 0x1000, 0, 0)
    guest.enableEvents(vcpu)
  }
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    guest.write32(ARGUMENTS, vcpu, 0)
    expect(await guest.call(EVENT_CHANNEL_OP, BIND_IPI, ARGUMENTS)).toBe(0)
  }
  // The interrupt of what was looked at when vcpu_info was placed is over.
  for (let vcpu = 0; vcpu < vcpus; vcpu++) guest.xen.events.upcalls.settle(vcpu)
  expect(guest.domain.architecture.gic.wires.irqPending(0)).toBe(false)
  return guest
}

const portOf = (guest: XenArmTestGuest, vcpu: number): number => {
  for (let port = 1; port < 10; port++) {
    const status = guest.xen.events.channels.status(SELF, port)
    if (typeof status !== 'number' && status.status === 5 && status.vcpu === vcpu) return port
  }
  throw new Error('no port')
}

test('an event sets its bit, the selector and the flag, and raises the interrupt', async () => {
  const guest = await eventGuest()
  const port = portOf(guest, 0)
  guest.write32(ARGUMENTS, port)
  expect(await guest.call(EVENT_CHANNEL_OP, SEND, ARGUMENTS)).toBe(0)
  expect(guest.read64(SHARED + PENDING_BITS)).toBe(1n << BigInt(port))
  expect([guest.read(INFO, 1)[0], guest.read64(INFO + SELECTOR)]).toEqual([1, 1n])
  expect(guest.domain.architecture.gic.wires.irqPending(0)).toBe(true)
})

describe('the interrupt', () => {
  /** Sends an event with interrupts open. The handler reads IAR to X20, does what it is given, and ends it. */
  async function handled(handler: readonly number[], after: readonly number[] = []): Promise<XenArmTestGuest> {
    const guest = await eventGuest()
    guest.write32(ARGUMENTS, portOf(guest, 0))
    guest.program(CODE + 0x1000, [
      ...load(9, VECTORS),
      msr(9, VBAR),
      ...load(21, 0),
      UNMASK,
      ...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS),
      ...after,
      ...FINISH,
    ])
    // X21 counts.
    guest.program(VECTORS + 0x280, [mrs(20, ICC_IAR1), 0x9100_06b5, ...handler, msr(20, ICC_EOIR1), ERET])
    await guest.run(CODE + 0x1000)
    expect(guest.exit.reason).toBe('stopped')
    return guest
  }

  const CLEAR = [...load(10, INFO), storeByte(31, 10)]

  test('comes once where the guest clears the flag', async () => {
    const guest = await handled(CLEAR)
    expect([guest.registers.x(20), guest.registers.x(21)]).toEqual([31n, 1n])
    expect(guest.domain.architecture.gic.wires.irqPending(0)).toBe(false)
  })

  test('comes again while the flag is set', async () => {
    // The third time it clears the flag: CMP X21, #3; B.NE past it.
    const guest = await handled([0xf100_0ebf, 0x5400_0081, ...CLEAR])
    expect([guest.registers.x(20), guest.registers.x(21)]).toEqual([31n, 3n])
  })

  test('comes again for an event that comes while it is handled', async () => {
    // The first time, the flag is cleared and another event sent, whose bits are clear again.
    const clearBits = [...load(11, SHARED), store(31, 11, PENDING_BITS), store(31, 10, SELECTOR)]
    const first = [...clearBits, ...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS)]
    const guest = await handled([...CLEAR, 0xf100_06bf, (0x5400_0001 | ((first.length + 1) << 5)) >>> 0, ...first])
    expect([guest.registers.x(20), guest.registers.x(21)]).toEqual([31n, 2n])
  })

  test('is withdrawn where the guest has cleared the flag before it looks', async () => {
    const guest = await eventGuest()
    guest.write32(ARGUMENTS, portOf(guest, 0))
    // With interrupts masked; X20 is what IAR says then.
    guest.program(CODE + 0x1000, [
      ...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS),
      ...CLEAR,
      mrs(20, ICC_IAR1),
      ...FINISH,
    ])
    await guest.run(CODE + 0x1000)
    expect(guest.registers.x(20)).toBe(1023n)
    expect(guest.domain.architecture.gic.wires.irqPending(0)).toBe(false)
  })

  test('goes to the vCPU that the event is for, and ends its WFI', async () => {
    const guest = await eventGuest(4)
    const { gic } = guest.domain.architecture
    // vCPU 2 waits, and says that it has gone on.
    guest.program(CODE + 0x2000, [WFI, ...load(9, ARGUMENTS + 0x100), ...load(10, 7), store(10, 9), branch(0)])
    guest.start(2, CODE + 0x2000)
    guest.write32(ARGUMENTS, portOf(guest, 2))
    guest.program(CODE + 0x1000, [
      ...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS),
      ...load(9, ARGUMENTS + 0x100),
      read(10, 9),
      // CBZ X10, back to the load
      (0xb400_0000 | ((-1 & 0x7_ffff) << 5) | 10) >>> 0,
      ...FINISH,
    ])
    await guest.run(CODE + 0x1000)
    expect(guest.exit.reason).toBe('stopped')
    expect([0, 1, 2, 3].map((vcpu) => gic.wires.irqPending(vcpu))).toEqual([false, false, true, false])
  })
})

describe('a vCPU that waits in sched_op', () => {
  test('poll goes on with the event of its port, whatever PSTATE masks', async () => {
    const guest = await eventGuest(2)
    const port = portOf(guest, 0)
    guest.write64(ARGUMENTS, ARGUMENTS + 0x40, 1, 0)
    guest.write32(ARGUMENTS + 0x40, port)
    guest.write32(ARGUMENTS + 0x80, port)
    guest.program(CODE + 0x2000, [...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS + 0x80), branch(0)])
    guest.start(1, CODE + 0x2000)
    expect(await guest.call(SCHED_OP, 3, ARGUMENTS)).toBe(0)
    expect(guest.exit.reason).toBe('stopped')
    expect(guest.xen.events.channels.pending(port)).toBe(true)
  })

  test('poll goes on at its time', async () => {
    const guest = await eventGuest()
    guest.write64(ARGUMENTS, ARGUMENTS + 0x40, 1, 3_000_000_000n)
    guest.write32(ARGUMENTS + 0x40, portOf(guest, 0))
    expect(await guest.call(SCHED_OP, 3, ARGUMENTS)).toBe(0)
    expect(guest.domain.clock.now()).toBeGreaterThanOrEqual(3e9)
  })

  test('block opens interrupts, and the interrupt is taken behind it', async () => {
    const guest = await eventGuest(2)
    guest.write32(ARGUMENTS, portOf(guest, 0))
    // vCPU 1 sends to vCPU 0, which waits with PSTATE.I set until it blocks.
    guest.program(CODE + 0x2000, [...hypercall(EVENT_CHANNEL_OP, SEND, ARGUMENTS), branch(0)])
    guest.start(1, CODE + 0x2000)
    const block = [...load(9, VECTORS), msr(9, VBAR), ...hypercall(SCHED_OP, 1, 0)]
    guest.program(CODE + 0x1000, [...block, branch(0)])
    guest.program(VECTORS + 0x280, [mrs(20, ELR), mrs(21, SPSR), ...FINISH])
    await guest.run(CODE + 0x1000)
    expect(guest.exit.reason).toBe('stopped')
    expect(guest.registers.x(20)).toBe(BigInt(CODE + 0x1000 + 4 * block.length))
    expect(guest.registers.x(21) & 0x80n).toBe(0n)
    expect(block.at(-1)).toBe(HYPERCALL)
  })
})
