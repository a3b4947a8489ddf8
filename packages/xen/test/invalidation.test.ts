import { createIoRequest } from '@retrap/ioreq'
import { describe, expect, test } from 'vitest'
import { ARGUMENTS, XenTestGuest } from './support/xen-guest.ts'

describe('a preempted hypercall', () => {
  test('of memory_op: what its parts gave back is acknowledged between them, and reused only then', async () => {
    const MEMORY_OP = 12
    const DECREASE = 1
    const COUNT = 5000
    const LIST = 0x60_0000
    const guest = new XenTestGuest('64', { memoryBytes: 64 << 20 })
    const { domain } = guest
    domain.p2m.populate(0x1000, COUNT)
    domain.p2m.populate(LIST / 0x1000, 16)
    for (let i = 0; i < COUNT; i++) guest.write64(LIST + 8 * i, 0x1000 + i)
    // struct xen_memory_reservation: extents, their number, order, address bits, domain.
    guest.write64(ARGUMENTS, LIST, COUNT)
    guest.write32(ARGUMENTS + 16, 0, 0)
    guest.write32(ARGUMENTS + 24, 0x7ff0)
    // A server that acknowledges a notice when the test says so.
    const server = domain.dispatch.createServer({
      name: 'emulator',
      transport: {
        notify(vcpu) {
          expect(server.slot(vcpu).accept(createIoRequest())).toBe(true)
          asked = true
        },
      },
    })
    server.setState(true)
    let asked = false
    const free: number[] = []
    const before = guest.memory.frames.freeFrames
    const call = guest.call(MEMORY_OP, DECREASE, ARGUMENTS)
    for (let part = 0; part < 3; part++) {
      while (!asked) await new Promise((resolve) => setImmediate(resolve))
      free.push(guest.memory.frames.freeFrames - before)
      asked = false
      server.slot(0).answer(0, 0)
      server.answered(0)
      free.push(guest.memory.frames.freeFrames - before)
    }
    expect(await call).toBe(COUNT)
    // Until they are acknowledged no frame is anybody else's; the tables that are left over go at once.
    const tables = guest.memory.frames.freeFrames - before - COUNT
    expect(free.map((each) => each - (each % 8))).toEqual(
      [0, 2048, 2048, 4096, 4096, COUNT].map((each) => each - (each % 8)),
    )
    expect(tables).toBeLessThan(16)
    expect(asked).toBe(false)
  })
})
