import { describe, expect, test } from 'vitest'
import { defineDevice, type DeviceModel } from '@retrap/device'
import * as ioreq from '@retrap/ioreq'
import { makeMachine, STATUS } from './machine.ts'

type Machine = ReturnType<typeof makeMachine>

/** A server that takes requests when it is told to, and answers when it is told to. */
function foreign(machine: Machine, options: Partial<ioreq.ServerOptions> = {}) {
  const seen: ioreq.IoRequest[] = []
  const notices: string[] = []
  const server: ioreq.IoreqServer = machine.dispatch.createServer({
    name: 'foreign',
    transport: { notify: (vcpu) => void notices.push(`vcpu ${vcpu}`), notifyBuffered: () => void notices.push('ring') },
    ...options,
  })
  const take = (vcpu = 0): ioreq.IoRequest => {
    const request = ioreq.createIoRequest()
    expect(server.slot(vcpu).accept(request)).toBe(true)
    seen.push(request)
    return request
  }
  const answer = (lo: number, hi = 0, vcpu = 0): void => {
    expect(server.slot(vcpu).answer(lo, hi)).toBe(true)
    server.answered(vcpu)
  }
  const buffered = (): ioreq.IoRequest | null => {
    const request = ioreq.createIoRequest()
    return server.ring!.consume(request) ? request : null
  }
  server.setState(true)
  return { server, take, answer, buffered, notices }
}

/** A PCI Express function whose registers above 0x40 the guest may write. */
const express: DeviceModel = {
  name: 'express',
  attach(context) {
    context.pci.add({
      device: 3,
      vendorId: 0x1234,
      deviceId: 0x5678,
      classCode: 0xff_0000,
      extendedConfig: true,
      writable: [
        [0x40, 0xffff_ffff],
        [0x44, 0xffff_ffff],
        [0xffc, 0xffff_ffff],
      ],
    })
  },
}

describe('ECAM (PCI Express Base Specification, "Enhanced Configuration Access Mechanism")', () => {
  const BASE = 0xe000_0000
  const ecam = [{ base: BASE, firstBus: 0, lastBus: 15 }]
  const at = (device: number, register: number, bus = 0): number => BASE + bus * 0x10_0000 + device * 0x8000 + register

  test('reads and writes a function’s 4096 bytes, in 1 to 8 bytes', () => {
    const { dispatch } = makeMachine({ ecam }, [express])
    expect(dispatch.mmioRead(at(3, 0), 4)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(0x5678_1234)
    expect(dispatch.mmioRead(at(3, 2), 2)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(0x5678)
    expect(dispatch.mmioWrite(at(3, 0x40), 8, 0x1122_3344, 0x5566_7788)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.mmioRead(at(3, 0x40), 8)).toBe(ioreq.STATUS_DONE)
    expect([dispatch.lo, dispatch.hi]).toEqual([0x1122_3344, 0x5566_7788])
    dispatch.mmioWrite(at(3, 0xffc), 1, 0x5a, 0)
    dispatch.mmioRead(at(3, 0xffc), 4)
    expect(dispatch.lo).toBe(0x5a)
  })

  test.each([
    { what: 'a function that is not there', address: at(4, 0) },
    { what: 'a bus that is not in the window', address: at(3, 0, 16) },
    { what: 'an access over the end of a window', address: at(0, 0, 16) - 2 },
  ])('$what reads as ones', ({ address }) => {
    const { dispatch } = makeMachine({ ecam }, [express])
    expect(dispatch.mmioRead(address, 4)).toBe(ioreq.STATUS_UNHANDLED)
    expect(dispatch.lo).toBe(0xffff_ffff)
  })

  test('windows that a guest moves answer at their new place alone', () => {
    const { dispatch } = makeMachine({ ecam }, [express])
    const moved = 0xb000_0000
    dispatch.setEcam([{ base: moved, firstBus: 0, lastBus: 255 }])
    expect(dispatch.mmioRead(at(3, 0), 4)).toBe(ioreq.STATUS_UNHANDLED)
    expect(dispatch.mmioRead(at(3, 0) - BASE + moved, 4)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(0x5678_1234)
    dispatch.setEcam([])
    expect(dispatch.mmioRead(at(3, 0) - BASE + moved, 4)).toBe(ioreq.STATUS_UNHANDLED)
    expect(() => dispatch.setEcam([{ base: 5, firstBus: 0, lastBus: 0 }])).toThrow(/whole MiB/)
  })

  test('a foreign server gets a PCI_CONFIG request with segment, bus, device, function and 12 bits of register', () => {
    const machine = makeMachine({ ecam: [{ base: BASE, segment: 2, firstBus: 1, lastBus: 1 }] })
    const { server, take, answer } = foreign(machine)
    server.mapRange(ioreq.XEN_DMOP_IO_RANGE_PCI, 0x2_0123, 0x2_0123)
    const address = BASE + 0x10_0000 + 0x23_000 + 0xabc
    expect(machine.dispatch.mmioRead(address, 4)).toBe(ioreq.STATUS_RESTART)
    const request = machine.request({ direction: ioreq.IOREQ_READ, addressLo: address, size: 4 })
    expect(machine.dispatch.submit(0, request)).toBe(ioreq.STATUS_RETRY)
    const seen = take()
    expect([seen.type, seen.addressHi, seen.addressLo, seen.size]).toEqual([
      ioreq.IOREQ_TYPE_PCI_CONFIG,
      0x2_0123,
      0xabc,
      4,
    ])
    answer(7)
    expect(machine.dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
    expect(machine.dispatch.lo).toBe(7)
  })

  test('a window must be in order', () => {
    expect(() => makeMachine({ ecam: [{ base: 5, firstBus: 0, lastBus: 0 }] })).toThrow(/whole MiB/)
    expect(() => makeMachine({ ecam: [{ base: 0, firstBus: 2, lastBus: 1 }] })).toThrow(/buses 2–1/)
  })
})

describe('TIMEOFFSET', () => {
  test('goes to models by a call, and to servers through their rings, as 8 bytes', () => {
    const seen: number[] = []
    const model = defineDevice({ name: 'rtc', timeOffset: (seconds) => void seen.push(seconds) })
    const machine = makeMachine({}, [model])
    const { buffered, notices } = foreign(machine, { bufferedMode: ioreq.HVM_IOREQSRV_BUFIOREQ_ATOMIC })
    expect(machine.dispatch.timeOffset(-3600n)).toBe(0)
    expect(seen).toEqual([-3600])
    expect(notices).toEqual(['ring'])
    const request = buffered()!
    expect([request.type, request.size, request.dataLo | 0, request.dataHi | 0]).toEqual([
      ioreq.IOREQ_TYPE_TIMEOFFSET,
      8,
      -3600,
      -1,
    ])
    expect(machine.dispatch.timeOffset(0n)).toBe(0)
    expect(buffered()).toBeNull()
  })

  test('counts the servers that have no ring', () => {
    const machine = makeMachine()
    foreign(machine)
    expect(machine.dispatch.timeOffset(5n)).toBe(1)
  })
})

describe('INVALIDATE', () => {
  test('goes to all enabled servers at once; the vCPU waits for the last one', () => {
    const dropped: string[] = []
    const machine = makeMachine({}, [defineDevice({ name: 'dma', invalidate: () => void dropped.push('dma') })])
    const a = foreign(machine)
    const b = foreign(machine)
    foreign(machine).server.setState(false)
    expect(machine.dispatch.requests.invalidate(1)).toBe(ioreq.STATUS_RETRY)
    expect(dropped).toEqual(['dma'])
    expect(machine.dispatch.requests.has(1)).toBe(true)
    expect(() => machine.dispatch.submit(1, machine.request({}))).toThrow(/2 servers to acknowledge/)
    // As Xen fills it in: a write of four bytes of all ones.
    const all = { dataLo: 0xffff_ffff, dataHi: 0xffff_ffff }
    const expected = { type: ioreq.IOREQ_TYPE_INVALIDATE, direction: ioreq.IOREQ_WRITE, size: 4, count: 1, ...all }
    for (const each of [a, b]) expect(each.take(1)).toMatchObject(expected)
    b.answer(0, 0, 1)
    expect(machine.completed).toEqual([])
    a.answer(0, 0, 1)
    expect(machine.completed).toEqual([1])
    expect(machine.dispatch.requests.has(1)).toBe(false)
  })

  test('needs no answer where all servers are in the process', () => {
    const machine = makeMachine({}, [defineDevice({ name: 'dma' })])
    expect(machine.dispatch.requests.invalidate(0)).toBe(ioreq.STATUS_DONE)
    expect(machine.completed).toEqual([])
  })

  test('follows a cancelled request that is still in the slot', () => {
    const machine = makeMachine()
    const { server, take, answer } = foreign(machine)
    server.mapRange(ioreq.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x100)
    machine.dispatch.submit(
      0,
      machine.request({ type: ioreq.IOREQ_TYPE_PIO, direction: ioreq.IOREQ_READ, addressLo: 0x100 }),
    )
    take()
    machine.dispatch.requests.cancel(0)
    expect(machine.dispatch.requests.invalidate(0)).toBe(ioreq.STATUS_RETRY)
    answer(1)
    expect(take().type).toBe(ioreq.IOREQ_TYPE_INVALIDATE)
    answer(0)
    expect(machine.completed).toEqual([0])
  })

  test('a server that is destroyed acknowledges', () => {
    const machine = makeMachine()
    const { server } = foreign(machine)
    machine.dispatch.requests.invalidate(0)
    server.destroy()
    expect(machine.completed).toEqual([0])
    expect(machine.dispatch.requests.has(0)).toBe(false)
  })
})

describe('buffered writes', () => {
  const vga = (machine: Machine) => {
    const made = foreign(machine, { bufferedMode: ioreq.HVM_IOREQSRV_BUFIOREQ_ATOMIC })
    made.server.mapRange(ioreq.XEN_DMOP_IO_RANGE_MEMORY, 0xa_0000, 0xb_ffff)
    made.server.setBufferedRanges(ioreq.XEN_DMOP_IO_RANGE_MEMORY, [[0xa_0000, 0xb_ffff]])
    return made
  }

  test('need no wait, keep their order, and give way to the slot when the ring is full', () => {
    const machine = makeMachine()
    const { buffered, take, answer, notices } = vga(machine)
    for (let i = 0; i < 511; i++) {
      expect(machine.dispatch.submit(0, machine.request({ addressLo: 0xa_0000 + i, dataLo: i & 0xff }))).toBe(
        ioreq.STATUS_DONE,
      )
    }
    expect(notices).toHaveLength(511)
    expect(machine.dispatch.submit(0, machine.request({ addressLo: 0xb_0000, dataLo: 9 }))).toBe(ioreq.STATUS_RETRY)
    for (let i = 0; i < 511; i++) expect(buffered()!.addressLo).toBe(0xa_0000 + i)
    expect(take().addressLo).toBe(0xb_0000)
    answer(0)
    expect(machine.dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
  })

  test.each([
    { what: 'reads', fields: { direction: ioreq.IOREQ_READ } },
    { what: 'strings', fields: { count: 2 } },
    { what: 'pointer data', fields: { dataIsPointer: true } },
    { what: 'writes beside the ranges', fields: { addressLo: 0xc_0000 } },
  ])('$what go through the slot', ({ fields }) => {
    const machine = makeMachine()
    const { server, take } = vga(machine)
    server.mapRange(ioreq.XEN_DMOP_IO_RANGE_MEMORY, 0xc_0000, 0xc_ffff)
    expect(machine.dispatch.submit(0, machine.request({ addressLo: 0xa_0000, ...fields }))).toBe(ioreq.STATUS_RETRY)
    take()
  })
})

describe('the deadline of a server', () => {
  const hung = (policy: 'crash' | 'detach', deadlineMs = 20) => {
    const machine = makeMachine({ deadlineMs, policy })
    const made = foreign(machine)
    made.server.mapRange(ioreq.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
    return { ...machine, ...made }
  }
  const read = { type: ioreq.IOREQ_TYPE_PIO, direction: ioreq.IOREQ_READ, addressLo: 0x100, size: 2 }

  test.each([
    { policy: 'crash' as const, status: ioreq.STATUS_ERROR, alive: true },
    { policy: 'detach' as const, status: ioreq.STATUS_UNHANDLED, alive: false },
  ])('passes: policy $policy', async ({ policy, status, alive }) => {
    const { dispatch, completed, failures, server, request } = hung(policy)
    expect(dispatch.submit(0, request(read))).toBe(ioreq.STATUS_RETRY)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(completed).toEqual([0])
    expect(STATUS[dispatch.requests.take(0)]).toBe(STATUS[status])
    expect(dispatch.lo).toBe(0xffff)
    expect(String(failures[0]?.cause)).toContain('no answer within 20 ms')
    expect(failures).toHaveLength(1)
    expect(server.alive).toBe(alive)
  })

  test('holds for a cancelled request too', async () => {
    const { dispatch, failures, server, take, request } = hung('detach')
    dispatch.submit(0, request(read))
    take()
    dispatch.requests.cancel(0)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(failures.map((f) => f.request)).toEqual(['a cancelled request'])
    expect(server.alive).toBe(false)
  })

  test('holds for an invalidation too', () => {
    const { dispatch, failures, completed } = hung('detach', 200_000)
    dispatch.requests.invalidate(1)
    expect(dispatch.requests.expire(performance.now() + 100_000)).toBeLessThan(150_000)
    expect(dispatch.requests.expire(performance.now() + 210_000)).toBe(Infinity)
    expect(completed).toEqual([1])
    expect(failures.map((f) => f.request)).toEqual(['invalidate'])
  })

  test('does not pass where the answer comes in time', async () => {
    const { dispatch, failures, take, answer, request } = hung('crash', 2000)
    for (let i = 0; i < 3; i++) {
      dispatch.submit(0, request(read))
      await new Promise((resolve) => setTimeout(resolve, 12))
      take()
      answer(i)
      expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
    }
    expect(failures).toEqual([])
  })

  test('takes out one model of this process, not the others', async () => {
    const models = [
      defineDevice({ name: 'hangs', ports: { base: 0x100, size: 4 }, read: () => new Promise<number>(() => {}) }),
      defineDevice({ name: 'works', ports: { base: 0x104, size: 4 }, read: async () => 5 }),
    ]
    const { dispatch, failures, request } = makeMachine({ deadlineMs: 10, policy: 'detach' }, models)
    dispatch.submit(0, request(read))
    await new Promise((resolve) => setTimeout(resolve, 40))
    expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_UNHANDLED)
    expect(failures.map((f) => f.device)).toEqual(['hangs'])
    expect(dispatch.submit(0, request(read))).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(0xffff)
    dispatch.submit(0, request({ ...read, addressLo: 0x104 }))
    await new Promise((resolve) => setTimeout(resolve, 0))
    expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(5)
  })
})

describe('a host that defers', () => {
  test('answers every access, configuration space too, in a later turn of the event loop', async () => {
    let turns = 0
    const machine = makeMachine({}, [], { defer: (callback) => void setImmediate(() => (turns++, callback())) })
    machine.host.attach(express)
    machine.host.attach(
      defineDevice({ name: 'sync', synchronous: true, ports: { base: 0x80, size: 1 }, read: () => 0x42 }),
    )
    const { dispatch, request } = machine
    expect(dispatch.portRead(0x80, 1)).toBe(ioreq.STATUS_RESTART)
    expect(
      dispatch.submit(0, request({ type: ioreq.IOREQ_TYPE_PIO, direction: ioreq.IOREQ_READ, addressLo: 0x80 })),
    ).toBe(ioreq.STATUS_RETRY)
    await Promise.resolve()
    expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_RETRY)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
    expect([dispatch.lo, turns]).toEqual([0x42, 1])
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    const config = { type: ioreq.IOREQ_TYPE_PIO, direction: ioreq.IOREQ_READ, addressLo: 0xcfc, size: 4 }
    expect(dispatch.submit(0, request(config))).toBe(ioreq.STATUS_RETRY)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(dispatch.requests.take(0)).toBe(ioreq.STATUS_DONE)
    expect(dispatch.lo).toBe(0x5678_1234)
  })
})

describe('the request trace', () => {
  test('has every access, direct ones too, and what became of it', async () => {
    const lines: string[] = []
    const models = [
      defineDevice({ name: 'a', synchronous: true, ports: { base: 0x80, size: 2 }, read: () => 0x12 }),
      defineDevice({ name: 'b', mmio: { base: 0x9000, size: 16 }, read: async () => 0x34 }),
      express,
    ]
    const trace = {
      trace: (record: Parameters<typeof ioreq.formatTrace>[0]) => void lines.push(ioreq.formatTrace(record)),
    }
    const { dispatch, request } = makeMachine(trace, models)
    dispatch.portRead(0x80, 1)
    dispatch.portWrite(0x81, 1, 0xff)
    dispatch.mmioRead(0x1_0000_0000, 8)
    dispatch.portWrite(0xcf8, 4, 0x8000_1800)
    dispatch.portRead(0xcfc, 2)
    expect(dispatch.mmioRead(0x9004, 4)).toBe(ioreq.STATUS_RESTART)
    dispatch.submit(0, request({ direction: ioreq.IOREQ_READ, addressLo: 0x9004, size: 4 }))
    await new Promise((resolve) => setTimeout(resolve, 0))
    dispatch.requests.take(0)
    dispatch.submit(1, request({ direction: ioreq.IOREQ_WRITE, addressLo: 0x9000, size: 2, dataLo: 7 }))
    dispatch.submit(0, request({ direction: ioreq.IOREQ_READ, addressLo: 0x9008, size: 1 }))
    dispatch.requests.cancel(0)
    await new Promise((resolve) => setTimeout(resolve, 0))
    expect(lines).toEqual([
      'devices done: port read of 1 bytes at 0x80 = 0x12',
      'devices done: port write of 1 bytes at 0x81 ← 0xff',
      'nobody unhandled: mmio read of 8 bytes at 0x100000000 = 0xffffffff_ffffffff',
      'nobody done: port write of 4 bytes at 0xcf8 ← 0x80001800',
      'devices done: PCI configuration read of 2 bytes at 0x1800000000 = 0x1234',
      'vcpu 0 devices sent: mmio read of 4 bytes at 0x9004',
      'vcpu 0 devices answered: mmio read of 4 bytes at 0x9004 = 0x34',
      'vcpu 1 devices sent: mmio write of 2 bytes at 0x9000 ← 0x7',
      'vcpu 1 devices answered: mmio write of 2 bytes at 0x9000 ← 0x7',
      'vcpu 0 devices sent: mmio read of 1 bytes at 0x9008',
      'vcpu 0 devices cancelled: mmio read of 1 bytes at 0x9008',
      'vcpu 0 devices drained: mmio read of 1 bytes at 0x9008',
    ])
  })
})

test('an answer that nobody asked for is found out', () => {
  const machine = makeMachine({ policy: 'detach' })
  const { server } = foreign(machine)
  server.answered(0)
  expect(machine.failures).toEqual([])
  server.slot(0).state = 3
  server.answered(0)
  expect(String(machine.failures[0]?.cause)).toContain('went to state 3')
  expect(server.alive).toBe(false)
  expect(server.slot(0).state).toBe(ioreq.STATE_IOREQ_NONE)
})
