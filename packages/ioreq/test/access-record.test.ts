/** The record of a vCPU's access: what the processor, the dispatcher and two threads find in it. */
import { describe, expect, test } from 'vitest'
import * as index from '../src/index.ts'
import { AccessRecord, IoDispatch, RECORD_WORDS } from '../src/index.ts'

const BASE = 0xfed9_0000
const PAGE_BYTES = 4096

const made = (shared = false): AccessRecord => {
  const bytes = 4 * 2 * RECORD_WORDS
  return new AccessRecord(new Int32Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)), RECORD_WORDS)
}

describe('the request', () => {
  test('has the layout of ioreq_t', () => {
    const record = made()
    record.describe(index.IOREQ_TYPE_COPY, index.IOREQ_READ, 0x1_2345_6789_abcd, 8, 0xffff_ffff, 0x8000_0001)
    const { byteOffset, buffer } = record.words
    const view = new DataView(buffer as ArrayBuffer, byteOffset + 4 * record.base, index.IOREQ_BYTES)
    const { addr, data, count, size, flags, type } = index.IOREQ_OFFSET
    expect(view.getBigUint64(addr, true)).toBe(0x1_2345_6789_abcdn)
    expect(view.getBigUint64(data, true)).toBe(0x8000_0001_ffff_ffffn)
    expect([view.getUint32(count, true), view.getUint32(size, true), view.getUint8(type)]).toEqual([1, 8, 1])
    expect([view.getUint8(flags), index.requestAddress(record)]).toEqual([0x20, 0x1_2345_6789_abcd])
  })

  test.each([false, true])('forgets what the one before it had (shared: %s)', (shared) => {
    const record = made(shared)
    Object.assign(record, { df: true, dataIsPointer: true, count: 9, type: index.IOREQ_TYPE_PCI_CONFIG })
    record.describe(index.IOREQ_TYPE_PIO, index.IOREQ_WRITE, 0x3f8, 1, 0x41, 0)
    expect(index.copyIoRequest(record)).toEqual({
      ...index.createIoRequest(),
      type: index.IOREQ_TYPE_PIO,
      addressLo: 0x3f8,
      dataLo: 0x41,
    })
  })
})

test.each([
  { size: 1, lo: 0xab, hi: 0 },
  { size: 2, lo: 0x89ab, hi: 0 },
  { size: 4, lo: 0x8789_89ab, hi: 0 },
  { size: 8, lo: 0x8789_89ab, hi: 0xfedc_ba98 },
])('an answer is cut to the $size bytes that were asked for', ({ size, lo, hi }) => {
  const record = made()
  record.describe(index.IOREQ_TYPE_COPY, index.IOREQ_READ, BASE, size, 0, 0)
  record.answer(index.STATUS_DONE, 0x8789_89ab, 0xfedc_ba98)
  expect([record.lo, record.hi, record.made]).toEqual([lo, hi, 1])
})

test('two threads see one access: published, waiting, over', () => {
  const processor = made(true)
  const domain = new AccessRecord(processor.words, processor.base)
  const seen = (): unknown[] => [processor.waits, domain.state]
  expect(seen()).toEqual([false, index.STATE_IOREQ_NONE])
  processor.describe(index.IOREQ_TYPE_PIO, index.IOREQ_READ, 0x60, 1, 0, 0)
  processor.logged = true
  processor.state = index.STATE_IOREQ_READY
  expect([...seen(), domain.addressLo, domain.logged]).toEqual([true, index.STATE_IOREQ_READY, 0x60, true])
  domain.state = index.STATE_IOREQ_INPROCESS
  expect(seen()).toEqual([true, index.STATE_IOREQ_INPROCESS])
  domain.answer(index.STATUS_DONE, 0x5a, 0)
  domain.state = index.STATE_IORESP_READY
  expect([...seen(), processor.status, processor.lo]).toEqual([
    false,
    index.STATE_IORESP_READY,
    index.STATUS_DONE,
    0x5a,
  ])
})

describe('in a dispatcher', () => {
  test('the records of 65 vCPUs take two pages, which go back; a late answer is not written there', () => {
    const pages: Uint8Array[] = []
    const freed: unknown[] = []
    const dispatch = new IoDispatch({
      vcpus: 65,
      allocatePage: () => {
        pages.push(new Uint8Array(PAGE_BYTES))
        return { buffer: pages.at(-1)!.buffer, byteOffset: 0 }
      },
      freePage: (page) => freed.push(page),
    })
    expect(pages).toHaveLength(2)
    const [first, last] = [dispatch.requests.record(0), dispatch.requests.record(64)]
    expect([first.ma, last.ma, last.words.buffer === pages[1]!.buffer]).toEqual([0, 0, true])
    last.describe(index.IOREQ_TYPE_PIO, index.IOREQ_READ, 0x60, 1, 0, 0)
    dispatch.requests.close()
    const before = pages[1]!.slice()
    last.answer(index.STATUS_DONE, 0x77, 0)
    expect([freed.length, last.lo, pages[1]]).toEqual([2, 0x77, before])
    expect(() => dispatch.requests.record(65)).toThrow('vCPU 65')
  })

  test('a string of elements after a single access is not taken for another one of that', () => {
    const served: [count: number, known: boolean][] = []
    const regions = new index.RegionTable(() => undefined)
    const handler = { read: () => 0, write: () => undefined }
    regions.map({ device: 'slow', kind: 'mmio', base: BASE, length: 0x1000, handler, direct: false, window: null })
    const dispatch = new IoDispatch({ vcpus: 1 })
    const server = dispatch.createServer({
      name: 'slow',
      transport: { notify: () => undefined },
      local: {
        regions,
        functions: { read: () => 0, write: () => undefined, ownerAt: () => undefined },
        requests: {
          serve(vcpu, { count }, replies, region) {
            served.push([count, region !== null])
            replies.answer(vcpu, 0, 0, true)
          },
        },
      },
    })
    server.mapRange(index.XEN_DMOP_IO_RANGE_MEMORY, BASE, BASE + 0xfff)
    server.setState(true)
    expect(dispatch.mmioWriteOrSend(0, BASE + 8, 4, 1, 0)).toBe(index.STATUS_DONE)
    const record = dispatch.requests.record(0)
    Object.assign(record, { addressLo: BASE, count: 4, size: 4, dataIsPointer: true })
    expect(dispatch.submit(0, record)).toBe(index.STATUS_DONE)
    expect(served).toEqual([
      [1, true],
      [4, false],
    ])
  })

  test('an access that is made at once leaves the request in flight alone', () => {
    const dispatch = new IoDispatch({ vcpus: 1 })
    const server = dispatch.createServer({ name: 'far', transport: { notify: () => undefined } })
    server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x60, 0x60)
    server.setState(true)
    expect(dispatch.portReadOrSend(0, 0x60, 1)).toBe(index.STATUS_RETRY)
    expect(dispatch.portWriteOrSend(0, 0xcf8, 4, 0x8000_0000)).toBe(index.STATUS_UNHANDLED)
    expect(() => dispatch.portReadOrSend(0, 0x60, 1)).toThrow('already waits for port read of 1 bytes at 0x60')
    expect([dispatch.requests.record(0).addressLo, dispatch.config.value]).toEqual([0x60, 0x8000_0000])
  })
})
