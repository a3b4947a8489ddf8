/** Input of a page while its machine is replaced by another one that goes on in its place. */
import { setTimeout as sleep } from 'node:timers/promises'
import { numbers } from '@retrap/tooling/random'
import { afterEach, expect, test } from 'vitest'
import { drawingGuest, echoingGuest } from './support/guests.ts'
import { Told } from './support/told.ts'

let told: Told
let typed = 0
afterEach(() => told.machine.pause())

async function open(guest: Uint8Array): Promise<void> {
  typed = 0
  told = await Told.open(guest, { memoryBytes: 1 << 20, vga: 'std' })
  await told.machine.run()
}

/** Types the next of all bytes, in their order. */
const type = (): void => told.machine.told({ tell: 'serial', bytes: Uint8Array.of(typed++ & 0xff) })

/** Waits until the guest has sent all back that was typed. */
async function echoed(): Promise<void> {
  const all = Array.from({ length: typed }, (_, i) => i & 0xff)
  await expect.poll(() => told.serial, { timeout: 40_000, interval: 20 }).toEqual(all)
}

const warnings = (): string[] => told.events.flatMap((event) => (event.event === 'warning' ? [event.message] : []))

const VERBS = ['record', 'branch', 'restore', 'reset', 'pause'] as const

/** Does something with the machine. */
async function act(verb: (typeof VERBS)[number], saved: Uint8Array<ArrayBuffer>): Promise<void> {
  const { machine } = told
  if (verb === 'restore') return machine.restore({ bytes: saved })
  if (verb === 'branch') {
    await machine.record()
    return machine.branch()
  }
  return machine[verb]()
}

test.each([1, 2, 3])(
  'no key is lost, and none changes its place, while machines are replaced: seed %i',
  { timeout: 60_000 },
  async (seed) => {
    const below = numbers(seed)
    await open(echoingGuest())
    const saved = await told.snapshot()
    for (let steps = 1 + below(3); steps > 0; steps--) {
      for (let i = below(20); i > 0; i--) type()
      const verb = VERBS[below(VERBS.length)]!
      // What the port itself has goes with its machine.
      if (verb === 'restore' || verb === 'reset') await echoed()
      let isOver = false
      const acted = act(verb, saved).finally(() => (isOver = true))
      // All the while, at most 4 KiB.
      for (let i = below(15); i > 0 || (!isOver && i > -4096); i--) {
        type()
        await sleep([0, 0, 1, 4][below(4)])
      }
      await acted
      await told.machine.run()
    }
    type()
    await echoed()
  },
)

test('keys of the keyboard that a recorded machine has not taken are those of its branch', async () => {
  await open(drawingGuest())
  const codes = (): number[] => told.serial.slice(1)
  await expect.poll(() => told.serial.length).toBe(1)
  await told.machine.record()
  await told.machine.pause()
  const pressed = told.machine.type('abc', undefined)
  await told.machine.branch()
  await told.machine.run()
  expect(await pressed).toBe(true)
  // Set 1: A, B and C go down and up.
  await expect.poll(codes).toEqual([0x1e, 0x9e, 0x30, 0xb0, 0x2e, 0xae])
})

test('a machine that ran goes on from the past, and the past takes no keys, and says so', async () => {
  await open(echoingGuest())
  await told.machine.record()
  type()
  await echoed()
  const { now } = (await told.machine.debug('position', [])) as { now: number }
  await told.machine.debug('travel', [{ to: now - 1 }])
  expect([told.state, warnings()]).toEqual(['paused', []])
  told.machine.told({ tell: 'serial', bytes: Uint8Array.of(99) })
  told.machine.told({ tell: 'keys', keys: [{ code: 'KeyA', down: true }] })
  expect(await told.machine.type('a', undefined)).toBe(false)
  expect(warnings()).toEqual([expect.stringContaining('This is the past')])
  await told.machine.branch()
  expect(told.state).toBe('running')
  const before = told.serial.length
  type()
  await expect.poll(() => told.serial.slice(before)).toEqual([1])
  // A machine that was paused stays paused.
  await told.machine.pause()
  await told.machine.branch()
  expect(told.state).toBe('paused')
})
