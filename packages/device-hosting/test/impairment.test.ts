/** Device models that somebody makes slow, or dead, to see what the guest does. */
import { describe, expect, test } from 'vitest'
import { defineDevice, type DeviceContext, type InterruptLine } from '@retrap/device'
import { STATUS_DONE, STATUS_RESTART, STATUS_RETRY } from '@retrap/ioreq'
import { makeMachine } from './machine.ts'

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

/** A model that answers at once, and the calls that it has had. */
function quick() {
  const calls: string[] = []
  const model = defineDevice({
    name: 'quick',
    synchronous: true,
    ports: { base: 0x100, size: 8 },
    read(offset) {
      calls.push(`read ${offset}`)
      return 0x5a
    },
    write(offset, _size, value) {
      calls.push(`write ${offset} ${value}`)
    },
  })
  return { calls, ...makeMachine({}, [model]) }
}

/** A wait that ends when the test says so. */
function brake() {
  const open: (() => void)[] = []
  const wait = (): Promise<void> => new Promise((resolve) => void open.push(resolve))
  return { wait, open }
}

describe('an impaired model', () => {
  test('that is slow gets an access when the wait is over, once; the vCPU has the answer then', async () => {
    const { dispatch, host, calls, completed } = quick()
    const { wait, open } = brake()
    expect(dispatch.portRead(0x101, 1)).toBe(STATUS_DONE)
    expect(host.impair('quick', { wait })).toBe(true)
    expect(dispatch.portRead(0x101, 1)).toBe(STATUS_RESTART)
    expect(dispatch.portReadOrSend(0, 0x102, 1)).toBe(STATUS_RETRY)
    await settle()
    expect([calls, dispatch.requests.take(0)]).toEqual([['read 1'], STATUS_RETRY])
    expect(dispatch.requests.describe(0)).toEqual({
      server: 'devices',
      device: 'quick',
      request: 'port read of 1 bytes at 0x102',
    })
    open[0]!()
    await settle()
    expect([calls, completed]).toEqual([['read 1', 'read 2'], [0]])
    expect([dispatch.requests.take(0), dispatch.lo, dispatch.requests.describe(0)]).toEqual([STATUS_DONE, 0x5a, null])
  })

  test('answers at once again afterwards; an access that waited then still comes to it', async () => {
    const { dispatch, host, calls } = quick()
    const { wait, open } = brake()
    host.impair('quick', { wait })
    expect(dispatch.portWrite(0x103, 1, 7)).toBe(STATUS_RESTART)
    expect(dispatch.portWriteOrSend(1, 0x103, 1, 7)).toBe(STATUS_RETRY)
    host.impair('quick', null)
    expect([dispatch.portRead(0x100, 1), calls]).toEqual([STATUS_DONE, ['read 0']])
    open[0]!()
    await settle()
    expect([dispatch.requests.take(1), calls]).toEqual([STATUS_DONE, ['read 0', 'write 3 7']])
  })

  test('does not get an access that was cancelled while it waited', async () => {
    const { dispatch, host, calls } = quick()
    const { wait, open } = brake()
    host.impair('quick', { wait })
    dispatch.portWriteOrSend(0, 0x103, 1, 7)
    dispatch.requests.cancel(0)
    open[0]!()
    await settle()
    expect(calls).toEqual([])
  })

  test('that is dead reads as ones, and its writes go nowhere', () => {
    const { dispatch, host, calls } = quick()
    host.impair('quick', { dead: true })
    expect([dispatch.portRead(0x100, 1), dispatch.lo]).toEqual([STATUS_DONE, 0xff])
    expect(dispatch.portWrite(0x100, 1, 3)).toBe(STATUS_DONE)
    expect(calls).toEqual([])
    host.impair('quick', null)
    expect([dispatch.portRead(0x100, 1), dispatch.lo]).toEqual([STATUS_DONE, 0x5a])
  })

  test('has low interrupt lines while it is dead, and its own levels again afterwards', () => {
    const lines: InterruptLine[] = []
    const model = {
      name: 'lines',
      attach: (context: DeviceContext) => void lines.push(context.interruptLine(4), context.interruptLine(5)),
    }
    const { host, events } = makeMachine({}, [model])
    const happens = (action: () => unknown): string[] => {
      action()
      return events.splice(0)
    }
    expect(happens(() => lines[0]!.set(true))).toEqual(['irq4=1'])
    // A slow model has its lines.
    expect(happens(() => host.impair('lines', { wait: () => Promise.resolve() }))).toEqual([])
    expect(happens(() => host.impair('lines', { dead: true }))).toEqual(['irq4=0'])
    expect(happens(() => host.impair('lines', { dead: true }))).toEqual([])
    expect(happens(() => lines[1]!.pulse())).toEqual([])
    expect(happens(() => lines[1]!.set(true))).toEqual([])
    // What it has withdrawn meanwhile does not come back; an edge-triggered input sees the rest as edges.
    expect(happens(() => lines[0]!.set(false))).toEqual([])
    expect(happens(() => host.impair('lines', null))).toEqual(['irq5=1'])
    expect(happens(() => lines[0]!.set(true))).toEqual(['irq4=1'])
    expect(happens(() => lines[1]!.pulse())).toEqual(['irq5 pulse'])
  })

  test('that is taken out meanwhile stays out', () => {
    const { dispatch, host, calls } = quick()
    host.impair('quick', { dead: true })
    host.detach('quick')
    expect([host.impair('quick', null), host.impair('no such', null)]).toEqual([false, false])
    expect([dispatch.portRead(0x100, 1), dispatch.lo, calls]).toEqual([STATUS_DONE, 0xff, []])
  })

  test('impairs also a range that the model claims later', () => {
    const later = { map: () => {} }
    const { dispatch, host } = makeMachine({}, [
      {
        name: 'later',
        attach(context) {
          later.map = () => void context.mapPorts(0x300, 4, { read: () => 1, write: () => {} })
        },
      },
    ])
    host.impair('later', { dead: true })
    later.map()
    expect([dispatch.portRead(0x300, 1), dispatch.lo]).toEqual([STATUS_DONE, 0xff])
  })
})
