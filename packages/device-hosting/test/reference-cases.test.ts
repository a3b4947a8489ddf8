import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { defineDevice } from '@retrap/device'
import { Doorbell } from '../src/index.ts'
import {
  BufferedRing,
  createIoRequest,
  DM_ERRNO,
  DmOps,
  HVM_IOREQSRV_BUFIOREQ_ATOMIC,
  HVM_IOREQSRV_BUFIOREQ_LEGACY,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
  IoreqPage,
  type IoreqServer,
  IoreqSlot,
  type IoRequest,
  RangeSet,
  type ServerOptions,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_RETRY,
  STATUS_UNHANDLED,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from '@retrap/ioreq'
import { makeMachine, STATUS } from './machine.ts'

// The cases of the ABI's reference, by its names; the tests beside this one go further into each.

type Machine = ReturnType<typeof makeMachine>

/** A server whose emulator is the test. */
function emulator(machine: Machine, options: Partial<ServerOptions> = {}) {
  const notices: number[] = []
  const server: IoreqServer = machine.dispatch.createServer({
    name: 'emulator',
    transport: { notify: (vcpu) => void notices.push(vcpu) },
    ...options,
  })
  server.setState(true)
  const take = (vcpu = 0): IoRequest => {
    const request = createIoRequest()
    expect(server.slot(vcpu).accept(request)).toBe(true)
    return request
  }
  const answer = (lo: number, vcpu = 0): void => {
    server.slot(vcpu).answer(lo, 0)
    server.answered(vcpu)
  }
  return { server, take, answer, notices }
}

const read = (addressLo: number, size = 1): IoRequest => ({
  ...createIoRequest(),
  type: IOREQ_TYPE_PIO,
  direction: IOREQ_READ,
  addressLo,
  size,
})

test('Byte layout golden vectors, each bit', () => {
  const words = new Int32Array(8)
  const slot = new IoreqSlot(words, 0)
  const bytes = new Uint8Array(words.buffer)
  const fields: [string, (value: number) => void, number, number][] = [
    ['addr', (v) => (slot.addressLo = v), 0, 32],
    ['addr, high', (v) => (slot.addressHi = v), 4, 32],
    ['data', (v) => (slot.dataLo = v), 8, 32],
    ['data, high', (v) => (slot.dataHi = v), 12, 32],
    ['count', (v) => (slot.count = v), 16, 32],
    ['size', (v) => (slot.size = v), 20, 32],
    ['vp_eport', (v) => (slot.eventPort = v), 24, 32],
    ['state', (v) => (slot.state = v), 30, 4],
    ['data_is_ptr', (v) => (slot.dataIsPointer = v !== 0), 30.5, 1],
    ['dir', (v) => (slot.direction = v), 30.625, 1],
    ['df', (v) => (slot.df = v !== 0), 30.75, 1],
    ['type', (v) => (slot.type = v), 31, 8],
  ]
  for (const [name, set, at, bits] of fields) {
    for (let bit = 0; bit < bits; bit++) {
      words.fill(0)
      set((1 << bit) >>> 0)
      const position = at * 8 + bit
      const expected = new Uint8Array(32)
      expected[position >>> 3] = 1 << (position & 7)
      expect({ name, bit, bytes: [...bytes] }).toEqual({ name, bit, bytes: [...expected] })
    }
  }
})

describe('Ring: 510, 511 entries, qword at 510 used; wrap across 511; pointers near 2^32, LEGACY and ATOMIC; consumer adding while producer canonicalises', () => {
  const write = (dataLo: number, size = 1): IoRequest => ({ ...createIoRequest(), addressLo: 0xa_0000, dataLo, size })
  const modes = [HVM_IOREQSRV_BUFIOREQ_LEGACY, HVM_IOREQSRV_BUFIOREQ_ATOMIC]

  test.each(modes)('510 and 511 entries, and a qword where one slot is left: mode %i', (mode) => {
    const ring = new BufferedRing(mode)
    for (let i = 0; i < 510; i++) expect(ring.produce(write(i))).toBe(true)
    expect(ring.produce(write(0, 8))).toBe(false)
    expect(ring.produce(write(510))).toBe(true)
    expect(ring.produce(write(511))).toBe(false)
    const taken = createIoRequest()
    for (let i = 0; i < 511; i++) {
      expect(ring.consume(taken)).toBe(true)
      expect(taken.dataLo).toBe(i)
    }
    expect(ring.consume(taken)).toBe(false)
  })

  test.each(modes)('wraps across 511: mode %i', (mode) => {
    const ring = new BufferedRing(mode)
    const taken = createIoRequest()
    for (let i = 0; i < 2000; i++) {
      expect(ring.produce({ ...write(i, 8), dataHi: ~i >>> 0 })).toBe(true)
      expect(ring.consume(taken)).toBe(true)
      expect([taken.dataLo, taken.dataHi]).toEqual([i, ~i >>> 0])
    }
  })

  test.each([
    { mode: HVM_IOREQSRV_BUFIOREQ_LEGACY, after: 3 },
    { mode: HVM_IOREQSRV_BUFIOREQ_ATOMIC, after: 2 ** 32 % 511 },
  ])('pointers near 2^32: mode $mode', ({ mode, after }) => {
    const buffer = new ArrayBuffer(4096)
    const pair = new Uint32Array(buffer, 0, 2)
    pair.fill(0xffff_fffd)
    const ring = new BufferedRing(mode, buffer)
    const taken = createIoRequest()
    for (let i = 0; i < 6; i++) {
      expect(ring.produce(write(i))).toBe(true)
      expect(ring.consume(taken)).toBe(true)
      expect(taken.dataLo).toBe(i)
    }
    // LEGACY wraps with its 32 bits; ATOMIC has taken multiples of 511 off both before that.
    if (mode === HVM_IOREQSRV_BUFIOREQ_LEGACY) expect([...pair]).toEqual([after, after])
    else expect(pair[0]).toBeLessThan(511 * 2)
    expect(pair[0]).toBe(pair[1])
  })

  test('consumer adding while producer canonicalises', async () => {
    const count = 20_000
    const buffer = new SharedArrayBuffer(4096)
    const source = `
      const { workerData, parentPort } = require('node:worker_threads')
      import(workerData.url).then(({ BufferedRing, createIoRequest }) => {
        const ring = new BufferedRing(2, workerData.buffer)
        const taken = createIoRequest()
        for (let next = 0; next < ${count};) {
          if (!ring.consume(taken)) continue
          if (taken.dataLo !== next) throw new Error('expected ' + next + ', got ' + taken.dataLo)
          next++
        }
        parentPort.postMessage('all')
      })`
    const url = import.meta.resolve('@retrap/ioreq')
    const worker = new Worker(source, { eval: true, workerData: { url, buffer } })
    const done = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    const ring = new BufferedRing(HVM_IOREQSRV_BUFIOREQ_ATOMIC, buffer)
    for (let i = 0; i < count;) {
      if (ring.produce(write(i))) i++
      else await new Promise((resolve) => void setImmediate(resolve))
    }
    expect(await done).toBe('all')
    expect(ring.readPointer).toBe(ring.writePointer)
    await worker.terminate()
  }, 60_000)
})

test('Two servers overlapping; destroy id 0; recreate', () => {
  const machine = makeMachine()
  const before = machine.host.server.id
  const a = emulator(machine)
  const b = emulator(machine)
  for (const { server } of [a, b]) server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
  expect([before, a.server.id, b.server.id]).toEqual([0, 1, 2])
  machine.dispatch.submit(0, read(0x100))
  expect([a.notices, b.notices]).toEqual([[], [0]])
  b.take()
  b.answer(1)
  machine.dispatch.requests.take(0)
  // The freed id 0 goes to the newest server, at the lowest precedence.
  machine.host.server.destroy()
  const c = emulator(machine)
  c.server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
  expect(c.server.id).toBe(0)
  machine.dispatch.submit(0, read(0x100))
  expect([a.notices, b.notices, c.notices]).toEqual([[], [0, 0], []])
})

test('CF8 written as byte, word, dword; two vCPUs interleaving; CFC access at 0xCFE size 4', () => {
  const machine = makeMachine()
  const { server, take, answer } = emulator(machine)
  server.mapRange(XEN_DMOP_IO_RANGE_PCI, 0x18, 0x19)
  const cf8 = (vcpu: number, value: number, size: number): number =>
    machine.dispatch.submit(vcpu, { ...read(0xcf8, size), direction: IOREQ_WRITE, dataLo: value })
  cf8(0, 0x8000_1840, 4)
  cf8(0, 0x12, 1)
  cf8(0, 0x1234, 2)
  expect(machine.dispatch.config.value).toBe(0x8000_1840)
  // The latch is the domain's: what vCPU 1 writes is what vCPU 0 reads through.
  cf8(1, 0x8000_1980, 4)
  expect(machine.dispatch.submit(0, read(0xcfe, 4))).toBe(STATUS_RETRY)
  const seen = take()
  expect([seen.type, seen.addressHi, seen.addressLo, seen.size]).toEqual([IOREQ_TYPE_PCI_CONFIG, 0x19, 0x82, 4])
  answer(5)
  expect(machine.dispatch.requests.take(0)).toBe(STATUS_DONE)
})

test('MMIO string crossing a range end', () => {
  const machine = makeMachine()
  const { server, take } = emulator(machine)
  server.mapRange(XEN_DMOP_IO_RANGE_MEMORY, 0x8000, 0x800f)
  const string = { ...createIoRequest(), type: IOREQ_TYPE_COPY, direction: IOREQ_WRITE, size: 4 }
  // All of it lies in one server's ranges, or none of it is the server's.
  expect(machine.dispatch.submit(0, { ...string, addressLo: 0x8000, count: 5 })).toBe(STATUS_UNHANDLED)
  expect(machine.dispatch.submit(0, { ...string, addressLo: 0x800c, count: 5, df: true })).toBe(STATUS_UNHANDLED)
  expect(machine.dispatch.submit(0, { ...string, addressLo: 0x800c, count: 4, df: true })).toBe(STATUS_RETRY)
  expect(take().count).toBe(4)
})

describe('Server writes state 2→1, 3→2, 0, 9; alters vp_eport; changes size or type in flight', () => {
  const make = (policy: 'crash' | 'detach' = 'crash') => {
    const machine = makeMachine({ policy })
    const made = emulator(machine)
    made.server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
    return { ...machine, ...made, slot: made.server.slot(0) }
  }

  test.each([
    { from: 2, to: 1, status: STATUS_ERROR },
    { from: 2, to: 9, status: STATUS_ERROR },
    { from: 1, to: 9, status: STATUS_ERROR },
    // The server has gone away and its page was zeroed: the access ends quietly.
    { from: 1, to: 0, status: STATUS_UNHANDLED },
    { from: 2, to: 0, status: STATUS_UNHANDLED },
  ])('$from→$to', ({ from, to, status }) => {
    const { dispatch, slot, server, completed, failures } = make()
    dispatch.submit(0, read(0x100, 2))
    slot.state = from
    server.answered(0)
    slot.state = to
    server.answered(0)
    expect(completed).toEqual([0])
    expect(STATUS[dispatch.requests.take(0)]).toBe(STATUS[status])
    expect(dispatch.lo).toBe(0xffff)
    expect(failures).toHaveLength(status === STATUS_ERROR ? 1 : 0)
  })

  test('3→2, before the answer is taken and after', () => {
    const { dispatch, slot, server, take, answer, failures } = make()
    dispatch.submit(0, read(0x100))
    take()
    answer(7)
    slot.state = 2
    server.answered(0)
    // The answer was in the vCPU's record already, and the slot was free.
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(7)
    slot.state = 2
    server.answered(0)
    expect(failures.map((f) => f.request)).toEqual(Array(2).fill('an answer that nobody had asked for'))
  })

  test('alters vp_eport: the next request is not sent', () => {
    const { dispatch, slot, failures } = make()
    slot.eventPort = 99
    expect(dispatch.submit(0, read(0x100))).toBe(STATUS_ERROR)
    expect(String(failures[0]!.cause)).toContain('event port 99')
  })

  test('changes size or type in flight: the answer is that of our request', () => {
    const { dispatch, slot, take, answer } = make()
    dispatch.submit(0, read(0x100, 1))
    take()
    slot.size = 4
    slot.type = IOREQ_TYPE_COPY
    slot.count = 100
    answer(0x1234_5678)
    expect(dispatch.requests.take(0)).toBe(STATUS_DONE)
    expect(dispatch.lo).toBe(0x78)
  })
})

describe('Server disabled or killed in READY and INPROCESS', () => {
  test.each([
    { what: 'disabled in READY', taken: false, kill: false },
    { what: 'disabled in INPROCESS', taken: true, kill: false },
    { what: 'killed in READY', taken: false, kill: true },
    { what: 'killed in INPROCESS', taken: true, kill: true },
  ])('$what', ({ taken, kill }) => {
    const machine = makeMachine()
    const { server, take, answer } = emulator(machine)
    server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
    machine.dispatch.submit(0, read(0x100))
    if (taken) take()
    if (kill) server.destroy()
    else {
      server.setState(false)
      // What is under way is still answered; what is new is nobody's.
      expect(machine.completed).toEqual([])
      if (!taken) take()
      answer(9)
    }
    expect(machine.completed).toEqual([0])
    expect(machine.dispatch.requests.take(0)).toBe(kill ? STATUS_UNHANDLED : STATUS_DONE)
    expect(machine.dispatch.lo).toBe(kill ? 0xff : 9)
    expect(machine.dispatch.submit(0, read(0x100))).toBe(STATUS_UNHANDLED)
    // A late answer into the page of a server that is gone is nobody's.
    if (kill) answer(1)
    expect(machine.failures).toEqual([])
  })
})

test('Range unmapped after send', () => {
  const machine = makeMachine()
  const { server, take, answer } = emulator(machine)
  server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
  machine.dispatch.submit(0, read(0x100))
  server.unmapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
  take()
  answer(3)
  expect(machine.dispatch.requests.take(0)).toBe(STATUS_DONE)
  expect(machine.dispatch.lo).toBe(3)
  expect(machine.dispatch.submit(0, read(0x100))).toBe(STATUS_UNHANDLED)
})

test('Unhandled read sizes 1, 2, 4, 8', () => {
  const { dispatch } = makeMachine()
  const answers = [1, 2, 4, 8].map((size) => {
    const request = { ...createIoRequest(), direction: IOREQ_READ, addressLo: 0xf000_0000, size }
    expect(dispatch.submit(0, request)).toBe(STATUS_UNHANDLED)
    return [dispatch.lo, dispatch.hi]
  })
  const ones = 0xffff_ffff
  expect(answers).toEqual([
    [0xff, 0],
    [0xffff, 0],
    [ones, 0],
    [ones, ones],
  ])
})

test('Buffered then synchronous write to one device: order kept', () => {
  const machine = makeMachine()
  const { server, take } = emulator(machine, { bufferedMode: HVM_IOREQSRV_BUFIOREQ_ATOMIC })
  server.mapRange(XEN_DMOP_IO_RANGE_MEMORY, 0xa_0000, 0xb_ffff)
  server.setBufferedRanges(XEN_DMOP_IO_RANGE_MEMORY, [[0xa_0000, 0xa_ffff]])
  const write = { ...createIoRequest(), direction: IOREQ_WRITE, size: 1 }
  expect(machine.dispatch.submit(0, { ...write, addressLo: 0xa_0001, dataLo: 1 })).toBe(STATUS_DONE)
  expect(machine.dispatch.submit(0, { ...write, addressLo: 0xa_0002, dataLo: 2 })).toBe(STATUS_DONE)
  expect(machine.dispatch.submit(0, { ...write, addressLo: 0xb_0000, dataLo: 3 })).toBe(STATUS_RETRY)
  // The consumer drains the ring before it serves the slot.
  const order: number[] = []
  const buffered = createIoRequest()
  while (server.ring!.consume(buffered)) order.push(buffered.dataLo)
  order.push(take().dataLo)
  expect(order).toEqual([1, 2, 3])
})

test('df=1 pointer request at page start', () => {
  const seen: string[] = []
  const model = defineDevice({
    name: 'model',
    synchronous: true,
    mmio: { base: 0x8000, size: 0x1000 },
    write: (offset, size, value) => void seen.push(`${offset}/${size}=${value.toString(16)}`),
  })
  const { dispatch, ram } = makeMachine({}, [model])
  ram.set([0x11, 0x22, 0x33, 0x44, 0x55, 0x66], 0x1ffe)
  // Elements at 0x2000, 0x1ffe and 0x1ffc go to 0x8004, 0x8002 and 0x8000.
  const status = dispatch.submit(0, {
    ...createIoRequest(),
    direction: IOREQ_WRITE,
    addressLo: 0x8004,
    size: 2,
    count: 3,
    df: true,
    dataIsPointer: true,
    dataLo: 0x2000,
  })
  expect(status).toBe(STATUS_DONE)
  expect(seen).toEqual(['4/2=4433', '2/2=2211', '0/2=0'])
})

test('INIT during INPROCESS, then new request', () => {
  const machine = makeMachine()
  const { server, take, answer } = emulator(machine)
  server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
  machine.dispatch.submit(0, read(0x100))
  take()
  // What INIT does of a request.
  machine.dispatch.requests.cancel(0)
  expect(machine.dispatch.submit(0, read(0x104))).toBe(STATUS_RETRY)
  answer(0xbad)
  expect(machine.completed).toEqual([])
  expect(take().addressLo).toBe(0x104)
  answer(0x42)
  expect(machine.completed).toEqual([0])
  expect(machine.dispatch.requests.take(0)).toBe(STATUS_DONE)
  expect(machine.dispatch.lo).toBe(0x42)
})

describe('Spurious notify; lost notify between check and wait', () => {
  test('a notice without an answer changes nothing', () => {
    const machine = makeMachine()
    const { server, take, answer } = emulator(machine)
    server.mapRange(XEN_DMOP_IO_RANGE_PORT, 0x100, 0x10f)
    server.answered(0)
    machine.dispatch.submit(0, read(0x100))
    for (let i = 0; i < 3; i++) server.answered(0)
    take()
    server.answered(0)
    server.answered(1)
    expect([machine.completed, machine.failures]).toEqual([[], []])
    answer(1)
    server.answered(0)
    expect(machine.completed).toEqual([0])
  })

  test('a ring between looking and waiting is not lost', async () => {
    const bell = new Doorbell()
    const seen = bell.value
    bell.ring()
    expect(bell.waitSync(seen, 10_000)).toBe(true)
    expect(await bell.wait(seen, 10_000)).toBe(true)
    expect(bell.waitSync(bell.value, 1)).toBe(false)
    expect(await bell.wait(bell.value, 1)).toBe(false)
  })

  test('a server that looks at the page without a notice finds a whole request or none', () => {
    const page = new IoreqPage(new SharedArrayBuffer(4096))
    const slot = page.slot(3)
    expect(slot.accept(createIoRequest())).toBe(false)
    slot.publish(read(0x100, 4))
    expect(slot.state).toBe(STATE_IOREQ_READY)
    const taken = createIoRequest()
    expect(slot.accept(taken)).toBe(true)
    expect(taken).toEqual(read(0x100, 4))
    expect(page.slot(4).state).toBe(STATE_IOREQ_NONE)
  })
})

test('256th and 257th range', () => {
  const set = new RangeSet()
  for (let i = 0; i < 256; i++) set.add(2 * i, 2 * i)
  expect(() => set.add(1000, 1000)).toThrow(/all 256 ranges/)
  const machine = makeMachine()
  const ops = new DmOps(machine.dispatch, { notify() {} }, 'emulator')
  const map = (port: number): number => {
    const bytes = new Uint8Array(32)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, 3, true)
    view.setUint16(8, 1, true)
    view.setUint32(16, port, true)
    view.setUint32(24, port, true)
    return ops.execute(bytes)
  }
  expect(ops.execute(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).toBe(0)
  for (let i = 0; i < 256; i++) expect(map(2 * i)).toBe(0)
  expect(map(1000)).toBe(-DM_ERRNO.ENOSPC)
})

test('inject_msi has no requester: the emulator’s first function stands for it', () => {
  const seen: number[] = []
  const machine = makeMachine()
  const ops = new DmOps(machine.dispatch, { notify() {} }, 'emulator', {
    injectMsi: (fields) => (seen.push(fields['requester'] ?? -1), 0),
  })
  const inject = new Uint8Array(24)
  inject[0] = 14
  expect(ops.execute(inject)).toBe(0)
  expect(ops.execute(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).toBe(0)
  machine.dispatch.server(1)?.mapRange(XEN_DMOP_IO_RANGE_PCI, 0x1_0218, 0x1_0218)
  expect(ops.execute(inject)).toBe(0)
  expect(seen).toEqual([0, 0x218])
})

describe('Non-zero pad in every op', () => {
  /** Bytes of each operation's structure, and where its padding is; from Xen's public header. */
  const ops: readonly (readonly [op: number, size: number, pads: readonly number[]])[] = [
    [1, 6, [1, 2, 3]],
    [2, 24, []],
    [3, 24, [2, 3]],
    [4, 24, [2, 3]],
    [5, 4, [3]],
    [6, 4, [2, 3]],
    [7, 16, [4, 5, 6, 7]],
    [8, 6, []],
    [9, 2, []],
    [10, 2, []],
    [11, 8, []],
    [12, 16, [6, 7]],
    [13, 24, [7, 12, 13, 14, 15]],
    [14, 16, [4, 5, 6, 7]],
    [15, 16, []],
    [16, 4, []],
    [17, 24, [4, 5, 6, 7]],
    [18, 24, [20, 21, 22, 23]],
    [19, 8, [5, 6, 7]],
    [20, 4, []],
  ]
  const platform = Object.fromEntries(
    [
      ...['trackDirtyVram', 'setPciIntx', 'setIsaIrq', 'setPciLink', 'modifiedMemory', 'setMemType', 'injectEvent'],
      ...['injectMsi', 'mapMemType', 'remoteShutdown', 'relocateMemory', 'pinCacheAttributes', 'setIrqLevel'],
    ].map((name) => [name, () => 0]),
  )
  const make = () => {
    const ops_ = new DmOps(makeMachine().dispatch, { notify() {} }, 'emulator', platform)
    // Server 1; the machine's own devices are server 0.
    expect(ops_.execute(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).toBe(0)
    return ops_
  }
  const buffer = (op: number, size: number): Uint8Array => {
    const bytes = new Uint8Array(8 + size)
    bytes[0] = op
    // Operations that name a server name ours; get_info asks for no frame numbers.
    if ((op >= 2 && op <= 6) || op === 15) bytes[8] = 1
    if (op === 2) bytes[10] = 1
    return bytes
  }

  test.each(ops)('op %i', (op, size, pads) => {
    const good = make().execute(buffer(op, size))
    // Nothing is claimed yet that could be given up.
    expect(good).toBe(op === 4 ? -DM_ERRNO.ENOENT : 0)
    for (const at of [-4, -3, -2, -1, ...pads]) {
      const bytes = buffer(op, size)
      bytes[8 + at] = 1
      expect([at, make().execute(bytes)]).toEqual([at, -DM_ERRNO.EINVAL])
    }
    expect(make().execute(buffer(op, size).subarray(0, 7 + size))).toBe(-DM_ERRNO.EFAULT)
  })

  test.each([
    { op: 1, field: 'handle_bufioreq', size: 6, at: 0, good: [0, 1, 2], bad: [3, 255] },
    { op: 2, field: 'flags', size: 24, at: 2, good: [1], bad: [2, 3, 128] },
    { op: 5, field: 'enabled', size: 4, at: 2, good: [0, 1], bad: [2, 255] },
    { op: 7, field: 'nr', size: 16, at: 0, good: [0, 1, 0x4_0000], bad: [0x4_0001, 0x8000_0000] },
    { op: 8, field: 'domain', size: 6, at: 0, good: [0], bad: [1] },
    { op: 8, field: 'bus', size: 6, at: 2, good: [0], bad: [1, 255] },
    { op: 8, field: 'device', size: 6, at: 3, good: [0, 31], bad: [32, 255] },
    { op: 8, field: 'intx', size: 6, at: 4, good: [0, 3], bad: [4, 255] },
    { op: 8, field: 'level', size: 6, at: 5, good: [0, 1], bad: [2, 255] },
    { op: 9, field: 'isa_irq', size: 2, at: 0, good: [0, 15], bad: [16, 255] },
    { op: 9, field: 'level', size: 2, at: 1, good: [0, 1], bad: [2, 255] },
    { op: 10, field: 'link', size: 2, at: 0, good: [0, 3], bad: [4, 255] },
    { op: 10, field: 'isa_irq', size: 2, at: 1, good: [0, 15], bad: [16, 255] },
    { op: 13, field: 'type', size: 24, at: 5, good: [0, 2, 3, 4, 5, 6], bad: [1, 7, 255] },
    { op: 15, field: 'flags', size: 16, at: 4, good: [0, 2], bad: [1, 3, 4, 0x8000_0000] },
    { op: 19, field: 'level', size: 8, at: 4, good: [0, 1], bad: [2, 255] },
  ])('op $op: $field may be $good, not $bad', ({ op, size, at, good, bad }) => {
    const result = (value: number): number => {
      const bytes = buffer(op, size)
      for (let i = 0; i < 4 && value >>> (8 * i) !== 0; i++) bytes[8 + at + i] = value >>> (8 * i)
      if (value === 0) bytes[8 + at] = 0
      return make().execute(bytes)
    }
    expect(good.map(result)).toEqual(good.map(() => 0))
    expect(bad.map(result)).toEqual(bad.map(() => -DM_ERRNO.EINVAL))
  })

  test('unknown operations, foreign and absent servers', () => {
    const ops_ = make()
    expect(ops_.execute(buffer(0, 24))).toBe(-DM_ERRNO.EOPNOTSUPP)
    expect(ops_.execute(buffer(21, 24))).toBe(-DM_ERRNO.EOPNOTSUPP)
    const destroy = (id: number): number => ops_.execute(Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0, id, 0, 0, 0))
    expect([destroy(0), destroy(7), destroy(200)]).toEqual([-DM_ERRNO.EPERM, -DM_ERRNO.ENOENT, -DM_ERRNO.ENOENT])
    for (let i = 0; i < 6; i++) {
      const create = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0)
      expect([ops_.execute(create), create[12]]).toEqual([0, i + 2])
    }
    expect(ops_.execute(buffer(1, 6))).toBe(-DM_ERRNO.ENOSPC)
    expect(ops_.execute(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 4, 2))).toBe(-DM_ERRNO.EINVAL)
    const vcpus = buffer(20, 4)
    expect([ops_.execute(vcpus), vcpus[8]]).toEqual([0, 2])
  })
})
