/** What a model hands over is validated: answers, ranges, numbers; and what it throws is printed, whatever it is. */
import { defineDevice, DeviceError, type DeviceModel, type Region } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import {
  createIoRequest,
  IOREQ_READ,
  IOREQ_TYPE_PIO,
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_RETRY,
  STATUS_UNHANDLED,
} from '@retrap/ioreq'
import { FakeMemory, makeMachine } from './machine.ts'

const BAD: [string, unknown][] = [
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['1e300', 1e300],
  ['a fraction', 1.5],
  ['2^32', 2 ** 32],
  ['less than -2^31', -(2 ** 31) - 1],
  ['text', '1'],
  ['a bigint', 1n],
  ['nothing', undefined],
]
const GOOD: [number, number][] = [
  [0xffff_ffff, 0xffff_ffff],
  [-1, 0xffff_ffff],
  [-(2 ** 31), 0x8000_0000],
  [-0, 0],
]
const model = (value: unknown, synchronous: boolean): DeviceModel =>
  defineDevice({
    name: 'm',
    synchronous,
    ports: [
      { base: 0x100, size: 8 },
      { base: 0x200, size: 8, minimumAccess: 4 },
    ],
    mmio: { base: 0x1000, size: 64, maximumAccess: 8 },
    read: () => (synchronous ? value : Promise.resolve(value)) as number,
    write: () => {},
    read64(_offset, into) {
      into.lo = value as number
      into.hi = 0
    },
    write64: () => {},
  })
const port = { ...createIoRequest(), type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: 0x100, size: 4 }

describe('an answer that is no 32-bit integer fails the model', () => {
  test.each(BAD)('%s, at once, in every form', (_, value) => {
    const { dispatch, failures } = makeMachine({}, [model(value, true)])
    expect([
      dispatch.portRead(0x100, 4),
      dispatch.portRead(0x100, 1),
      dispatch.portRead(0x201, 1),
      dispatch.portRead(0x106, 4),
      dispatch.mmioRead(0x1000, 4),
      dispatch.mmioRead(0x1000, 8),
    ]).toEqual([STATUS_ERROR, STATUS_ERROR, STATUS_ERROR, STATUS_UNHANDLED, STATUS_ERROR, STATUS_ERROR])
    expect(failures).toHaveLength(5)
    for (const { cause } of failures) expect(cause).toMatchObject({ code: 'ERR_DEVICE' })
  })

  test.each(BAD)('%s, later', async (_, value) => {
    const { dispatch, failures } = makeMachine({}, [model(value, false)])
    for (const addressLo of [0x100, 0x201]) {
      const size = addressLo === 0x100 ? 4 : 1
      expect(dispatch.submit(0, { ...port, addressLo, size })).toBe(STATUS_RETRY)
      await new Promise((resolve) => void setImmediate(resolve))
      expect(dispatch.requests.take(0)).toBe(STATUS_ERROR)
    }
    for (const { cause } of failures) expect(cause).toMatchObject({ code: 'ERR_DEVICE' })
  })

  test.each(GOOD)('%d is one', (value, seen) => {
    const { dispatch } = makeMachine({}, [model(value, true)])
    expect([dispatch.portRead(0x100, 4), dispatch.lo]).toEqual([STATUS_DONE, seen])
    expect([dispatch.mmioRead(0x1000, 8), dispatch.lo, dispatch.hi]).toEqual([STATUS_DONE, seen, 0])
  })
})

describe('what a model claims is checked', () => {
  const attach = (claim: (context: Parameters<DeviceModel['attach']>[0]) => unknown): (() => void) => {
    const { host } = makeMachine()
    return () => host.attach({ name: 'm', attach: (context) => void claim(context) })
  }
  const ok = { read: () => 0, write: () => {} }
  test.each<[string, (context: Parameters<DeviceModel['attach']>[0]) => unknown]>([
    ['a range without a handler', (c) => c.mapPorts(0x100, 1, undefined as never)],
    ['a handler without read', (c) => c.mapPorts(0x100, 1, { write: () => {} } as never)],
    ['a base that is NaN', (c) => c.mapMmio(NaN, 16, ok)],
    ['maximumAccess 3', (c) => c.mapMmio(0, 16, ok, { maximumAccess: 3 as never })],
    ['a priority that is no number', (c) => c.mapMmio(0, 16, ok, { priority: NaN })],
    ['a message to nowhere', (c) => c.signalMsi(NaN, 0)],
    ['message data that is no word', (c) => c.signalMsi(0xfee0_0000, 2 ** 32)],
    ['a requester beyond 16 bits', (c) => c.signalMsi(0xfee0_0000, 0, 0x1_0000)],
    ['a negative line', (c) => c.interruptLine(-1)],
    ['an exit code that is a fraction', (c) => c.requestExit(1.5)],
    ['a deadline that is NaN', (c) => c.timer(() => {}).arm(NaN)],
    ['memory that is another’s', (c) => c.mapMemory(0, { name: 'x', bytes: 4096 } as never)],
  ])('%s', (_, claim) => {
    expect(attach(claim)).toThrow(DeviceError)
  })

  test.each([
    [
      'throws',
      () => {
        throw 'no luck'
      },
      'm: attach failed: no luck',
    ],
    [
      'returns a promise',
      () => Promise.reject(new Error('no luck')),
      'm: attach returned a promise: expected it to be done',
    ],
  ])('a model whose attach %s is named', (_, claim, message) => {
    const { host } = makeMachine()
    const model = { name: 'm', attach: claim as () => void }
    expect(() => host.attach(model)).toThrow(
      expect.objectContaining({ name: 'DeviceError', code: 'ERR_DEVICE', message }),
    )
    expect(host.models()).toEqual([])
  })

  test('what is no model is refused', () => {
    const { host } = makeMachine()
    for (const what of [null, {}, { name: 'x' }, { name: '', attach: () => {} }]) {
      expect(() => host.attach(what as DeviceModel)).toThrow(DeviceError)
    }
    expect(() => defineDevice({ name: 'x', read: 5 } as never)).toThrow(/function/)
    expect(() => defineDevice({ name: 'x', save: () => 1 })).toThrow(/save and restore/)
  })
})

test('pages of servers are given back: a thousand connections later there are as many as before', () => {
  const free = new Set(Array.from({ length: 40 }, (_, i) => i))
  const { dispatch } = makeMachine({
    allocatePage() {
      const [page] = free
      if (page === undefined) throw new Error('no page is left')
      free.delete(page)
      return { buffer: new ArrayBuffer(4096), byteOffset: 0, page } as never
    },
    freePage: (page) => void free.add((page as unknown as { page: number }).page),
  })
  const before = free.size
  for (let i = 0; i < 1000; i++) {
    dispatch.createServer({ name: `s${i}`, transport: { notify: () => {} }, bufferedMode: 2 }).destroy()
  }
  expect(free.size).toBe(before)
})

test('a BAR that the machine cannot map stays off, and the guest goes on', () => {
  const { host, dispatch } = makeMachine(
    {},
    [],
    {},
    {
      ownMemory: (_device, { bytes }) => {
        const memory = new FakeMemory(bytes)
        memory.place = () => {
          throw new DeviceError('ERR_NO_SPACE', 'no room for tables')
        }
        return memory
      },
    },
  )
  let bar: Region | null | undefined
  host.attach({
    name: 'm',
    attach(context) {
      const memory = context.ownMemory({ name: 'vram', bytes: 4096 })
      bar = context.pci
        .add({ device: 1, vendorId: 1, deviceId: 1, classCode: 0, bars: [{ index: 0, kind: 'memory', memory }] })
        .bar(0)
    },
  })
  const config = (register: number, value: number): void => {
    dispatch.portWrite(0xcf8, 4, 0x8000_0800 | register)
    expect(dispatch.portWrite(0xcfc, 4, value)).toBe(STATUS_DONE)
  }
  config(0x10, 0xe000_0000)
  config(0x04, 2)
  expect(bar?.enabled).toBe(false)
  expect(dispatch.mmioRead(0xe000_0000, 4)).toBe(STATUS_UNHANDLED)
})

test('the message of a model’s own requester is its first function', () => {
  const seen: number[][] = []
  const { host } = makeMachine({}, [], {}, { signalMsi: (...message) => void seen.push(message) })
  host.attach({
    name: 'm',
    attach(context) {
      context.signalMsi(0xfee0_0000, 1)
      context.pci.add({ device: 5, function: 2, vendorId: 1, deviceId: 1, classCode: 0 })
      context.signalMsi(0xfee0_0000, 2)
      context.signalMsi(0xfee0_0000, 3, 0x100)
    },
  })
  expect(seen).toEqual([
    [0xfee0_0000, 1, 0],
    [0xfee0_0000, 2, 0x2a],
    [0xfee0_0000, 3, 0x100],
  ])
})
