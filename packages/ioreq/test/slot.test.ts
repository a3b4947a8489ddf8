import { describe, expect, test } from 'vitest'
import {
  createIoRequest,
  IOREQ_OFFSET,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IoreqError,
  IoreqPage,
  IOREQ_WRITE,
  pciAddressHi,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  type IoRequest,
} from '../src/index.ts'

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ')
const bytesOf = (page: IoreqPage, vcpu: number): Uint8Array =>
  new Uint8Array(page.words.buffer, page.words.byteOffset + vcpu * 32, 32)

describe('ioreq_t, byte for byte (Xen public header hvm/ioreq.h)', () => {
  const cases: { name: string; request: Partial<IoRequest>; bytes: string }[] = [
    {
      name: 'a byte read of port 0x3fd',
      request: { type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo: 0x3fd },
      bytes: 'fd 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 00 00 21 00',
    },
    {
      name: 'a dword write above 4 GiB',
      request: {
        type: IOREQ_TYPE_COPY,
        direction: IOREQ_WRITE,
        addressLo: 0x89abcdef,
        addressHi: 0x4567,
        dataLo: 0xdeadbeef,
        size: 4,
      },
      bytes: 'ef cd ab 89 67 45 00 00 ef be ad de 00 00 00 00 01 00 00 00 04 00 00 00 00 00 00 00 00 00 01 01',
    },
    {
      name: 'a descending string read through a pointer',
      request: { direction: IOREQ_READ, df: true, dataIsPointer: true, count: 7, size: 8, dataLo: 0x1000, dataHi: 2 },
      bytes: '00 00 00 00 00 00 00 00 00 10 00 00 02 00 00 00 07 00 00 00 08 00 00 00 00 00 00 00 00 00 71 01',
    },
    {
      name: 'a configuration write to 1234:56:1e.7',
      request: {
        type: IOREQ_TYPE_PCI_CONFIG,
        addressHi: pciAddressHi(0x1234, 0x56, 0x1e, 7),
        addressLo: 0xfc,
        dataLo: 0xff,
        size: 2,
      },
      bytes: 'fc 00 00 00 f7 56 34 12 ff 00 00 00 00 00 00 00 01 00 00 00 02 00 00 00 00 00 00 00 00 00 01 02',
    },
  ]
  test.each(cases)('$name', ({ request, bytes }) => {
    const page = new IoreqPage()
    page.slot(5).publish({ ...createIoRequest(), ...request })
    expect(hex(bytesOf(page, 5))).toBe(bytes)
    const back = createIoRequest()
    page.slot(5).readInto(back)
    expect(back).toEqual({ ...createIoRequest(), ...request })
    expect(page.words.filter((w, i) => w !== 0 && (i < 40 || i >= 48))).toHaveLength(0)
  })

  const bits: { field: string; set: (p: IoreqPage) => void; at: number; value: number }[] = [
    { field: 'state', set: (p) => (p.slot(0).state = 3), at: IOREQ_OFFSET.flags, value: 3 },
    { field: 'state, all four bits', set: (p) => (p.slot(0).state = 15), at: IOREQ_OFFSET.flags, value: 15 },
    { field: 'data_is_ptr', set: (p) => (p.slot(0).dataIsPointer = true), at: IOREQ_OFFSET.flags, value: 1 << 4 },
    { field: 'dir', set: (p) => (p.slot(0).direction = 1), at: IOREQ_OFFSET.flags, value: 1 << 5 },
    { field: 'df', set: (p) => (p.slot(0).df = true), at: IOREQ_OFFSET.flags, value: 1 << 6 },
    { field: 'type', set: (p) => (p.slot(0).type = 8), at: IOREQ_OFFSET.type, value: 8 },
    { field: 'vp_eport', set: (p) => (p.slot(0).eventPort = 0x2a), at: IOREQ_OFFSET.vp_eport, value: 0x2a },
    { field: 'count', set: (p) => (p.slot(0).count = 9), at: IOREQ_OFFSET.count, value: 9 },
    { field: 'size', set: (p) => (p.slot(0).size = 8), at: IOREQ_OFFSET.size, value: 8 },
    { field: 'data, low', set: (p) => (p.slot(0).dataLo = 0x77), at: IOREQ_OFFSET.data, value: 0x77 },
    { field: 'data, high', set: (p) => (p.slot(0).dataHi = 0x66), at: IOREQ_OFFSET.data + 4, value: 0x66 },
    { field: 'addr, low', set: (p) => (p.slot(0).addressLo = 0x55), at: IOREQ_OFFSET.addr, value: 0x55 },
    { field: 'addr, high', set: (p) => (p.slot(0).addressHi = 0x44), at: IOREQ_OFFSET.addr + 4, value: 0x44 },
  ]
  test.each(bits)('$field is at byte $at and touches no other', ({ set, at, value }) => {
    const page = new IoreqPage()
    set(page)
    const expected = new Uint8Array(32)
    expected[at] = value
    expect(hex(bytesOf(page, 0))).toBe(hex(expected))
  })

  test('a state change keeps type, direction, df, pointer flag and padding', () => {
    const page = new IoreqPage()
    const bytes = bytesOf(page, 0)
    bytes.set([0xaa, 0x55], IOREQ_OFFSET.pad)
    page.slot(0).publish({ ...createIoRequest(), type: 2, direction: 1, df: true, dataIsPointer: true })
    bytes[IOREQ_OFFSET.flags] = bytes[IOREQ_OFFSET.flags]! | 0x80
    for (const state of [STATE_IOREQ_INPROCESS, STATE_IORESP_READY, STATE_IOREQ_NONE]) {
      page.slot(0).state = state
      expect(hex(bytes.subarray(28))).toBe(`aa 55 ${(0xf0 | state).toString(16)} 02`)
    }
  })
})

describe('the protocol of a slot', () => {
  test('NONE → READY → INPROCESS → IORESP_READY, and no step out of turn', () => {
    const slot = new IoreqPage().slot(0)
    const into = createIoRequest()
    expect(slot.accept(into)).toBe(false)
    expect(slot.answer(1, 2)).toBe(false)
    slot.publish({ ...createIoRequest(), addressLo: 0x60 })
    expect(slot.state).toBe(STATE_IOREQ_READY)
    expect(slot.answer(1, 2)).toBe(false)
    expect(slot.accept(into)).toBe(true)
    expect(into.addressLo).toBe(0x60)
    expect(slot.state).toBe(STATE_IOREQ_INPROCESS)
    expect(slot.accept(into)).toBe(false)
    expect(slot.answer(0xffffffff, 5)).toBe(true)
    expect(slot.state).toBe(STATE_IORESP_READY)
    expect([slot.dataLo, slot.dataHi]).toEqual([0xffffffff, 5])
    expect(slot.answer(3, 4)).toBe(false)
    expect(() => slot.publish(createIoRequest())).toThrow(IoreqError)
  })

  test('an answer needs INPROCESS and moves only from there', () => {
    const slot = new IoreqPage().slot(0)
    expect(slot.updateState(STATE_IOREQ_READY, STATE_IOREQ_INPROCESS)).toBe(false)
    expect(slot.state).toBe(STATE_IOREQ_NONE)
    expect(slot.updateState(STATE_IOREQ_NONE, STATE_IOREQ_READY)).toBe(true)
  })

  test('a page lies anywhere in machine memory, shared or not', () => {
    const memory = new SharedArrayBuffer(3 * 4096)
    const page = new IoreqPage(memory, 4096)
    page.slot(127).size = 4
    expect(new Uint8Array(memory)[4096 + 127 * 32 + 20]).toBe(4)
    expect(() => page.slot(128)).toThrow(/128/)
    expect(() => new IoreqPage(memory, 3 * 4096 - 4092)).toThrow(IoreqError)
  })
})
