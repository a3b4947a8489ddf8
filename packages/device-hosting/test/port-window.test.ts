import { defineDevice } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import * as index from '@retrap/ioreq'
import { PortWindow } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const WINDOW = 0x3eff_0000

function board(synchronous = true) {
  const log: string[] = []
  const model = defineDevice({
    name: 'card',
    synchronous,
    stateless: true,
    ports: [
      { base: 0, size: 2, maximumAccess: 2 },
      { base: 0x1000, size: 8, maximumAccess: 4 },
      { base: 0xfffc, size: 4, read: () => 6 },
    ],
    read: (offset, size) => {
      log.push(`r${size}@${offset}`)
      const value = 0x8765_4321 >>> (8 * offset)
      return synchronous ? value : Promise.resolve(value)
    },
    write: (offset, size, value) => {
      log.push(`w${size}@${offset}=${value.toString(16)}`)
      return synchronous ? undefined : Promise.resolve()
    },
  })
  const bridge = defineDevice({
    name: 'bridge',
    synchronous: true,
    stateless: true,
    attach: (context) => void context.pci.add({ device: 0, vendorId: 1, deviceId: 2, classCode: 0x06_0000 }),
  })
  const made = makeMachine({}, [model, bridge])
  made.dispatch.setPortWindow(new PortWindow(WINDOW))
  return { ...made, log }
}

describe('ports in memory', () => {
  test('an access there is one to a port', () => {
    const { dispatch, log } = board()
    expect([dispatch.mmioRead(WINDOW + 0x1000, 4), dispatch.lo, dispatch.hi]).toEqual([
      index.STATUS_DONE,
      0x8765_4321,
      0,
    ])
    expect([dispatch.mmioRead(WINDOW + 0x1001, 1), dispatch.lo]).toEqual([index.STATUS_DONE, 0x43])
    expect(dispatch.mmioWrite(WINDOW + 0x1002, 2, 0xabcd, 0)).toBe(index.STATUS_DONE)
    expect(log).toEqual(['r4@0', 'r1@1', 'w2@2=abcd'])
    expect([dispatch.mmioRead(WINDOW + 0xfffc, 4), dispatch.lo]).toEqual([index.STATUS_DONE, 6])
    // Ports are where they were, too.
    expect([dispatch.portRead(0x1000, 2), dispatch.lo]).toEqual([index.STATUS_DONE, 0x4321])
  })

  test('the first port is at its beginning', () => {
    const { dispatch, log } = board()
    expect([dispatch.mmioRead(WINDOW, 2), dispatch.lo]).toEqual([index.STATUS_DONE, 0x4321])
    expect(dispatch.mmioWrite(WINDOW, 1, 0xab, 0)).toBe(index.STATUS_DONE)
    expect(dispatch.mmioWriteOrSend(0, WINDOW, 2, 5, 0)).toBe(index.STATUS_DONE)
    expect([dispatch.mmioReadOrSend(0, WINDOW + 1, 1), dispatch.lo]).toEqual([index.STATUS_DONE, 0x43])
    expect(log).toEqual(['r2@0', 'w1@0=ab', 'w2@0=5', 'r1@1'])
  })

  test('a model may take its time', async () => {
    const { dispatch, log } = board(false)
    expect(dispatch.mmioRead(WINDOW + 0x1000, 4)).toBe(index.STATUS_RESTART)
    expect(dispatch.mmioReadOrSend(0, WINDOW + 0x1000, 4)).toBe(index.STATUS_RETRY)
    await new Promise((resolve) => setImmediate(resolve))
    expect([dispatch.requests.take(0), dispatch.lo]).toEqual([index.STATUS_DONE, 0x8765_4321])
    expect(dispatch.mmioWriteOrSend(0, WINDOW + 0x1004, 4, 5, 0)).toBe(index.STATUS_RETRY)
    await new Promise((resolve) => setImmediate(resolve))
    expect(dispatch.requests.take(0)).toBe(index.STATUS_DONE)
    expect(dispatch.mmioReadOrSend(0, WINDOW + 0x1002, 2)).toBe(index.STATUS_RETRY)
    await new Promise((resolve) => setImmediate(resolve))
    expect([dispatch.requests.take(0), dispatch.lo]).toEqual([index.STATUS_DONE, 0x8765])
    expect(log).toEqual(['r4@0', 'w4@4=5', 'r2@2'])
  })

  test.each([
    { given: 'a port that nobody has', gpa: WINDOW + 0x2000, size: 4 },
    { given: 'eight bytes', gpa: WINDOW + 0x1000, size: 8 },
    { given: 'more than there are ports', gpa: WINDOW + 0xfffe, size: 4 },
    { given: 'the byte before', gpa: WINDOW - 1, size: 1 },
    { given: 'the byte behind', gpa: WINDOW + 0x1_0000, size: 1 },
    { given: 'the address of configuration space', gpa: WINDOW + 0xcf8, size: 4 },
    { given: 'the data of configuration space', gpa: WINDOW + 0xcfc, size: 4 },
  ])('$given reads as ones', ({ gpa, size }) => {
    const { dispatch, log } = board()
    expect(dispatch.mmioWrite(gpa, size, 0x8000_0000, 0)).toBe(index.STATUS_UNHANDLED)
    expect([dispatch.mmioRead(gpa, size), dispatch.lo]).toEqual([
      index.STATUS_UNHANDLED,
      2 ** (8 * Math.min(size, 4)) - 1,
    ])
    expect(dispatch.mmioReadOrSend(0, gpa, size)).toBe(index.STATUS_UNHANDLED)
    expect(log).toEqual([])
  })

  test('a window can be taken away', () => {
    const { dispatch } = board()
    dispatch.setPortWindow(null)
    expect(dispatch.mmioRead(WINDOW + 0x1000, 4)).toBe(index.STATUS_UNHANDLED)
    dispatch.portWrite(0xcf8, 4, 0x8000_0000)
    expect([dispatch.portRead(0xcfc, 4), dispatch.lo]).toEqual([index.STATUS_DONE, 0x0002_0001])
    for (const base of [1, -4096, 0.5, NaN]) expect(() => new PortWindow(base)).toThrow('expected a multiple of 0x1000')
  })

  test('accesses are traced as ports', () => {
    const seen: string[] = []
    const model = defineDevice({
      name: 'card',
      synchronous: true,
      stateless: true,
      ports: { base: 0x1000, size: 8 },
      read: () => 7,
    })
    const { dispatch } = makeMachine(
      { trace: ({ request }) => seen.push(`${request.type} ${request.addressLo.toString(16)}`) },
      [model],
    )
    dispatch.setPortWindow(new PortWindow(WINDOW))
    expect([dispatch.mmioRead(WINDOW + 0x1004, 1), dispatch.lo]).toEqual([index.STATUS_DONE, 7])
    expect(seen).toEqual(['0 1004'])
  })
})
