/** Input of a page while its machine is replaced by another one that goes on in its place. */
import { setTimeout as sleep } from 'node:timers/promises'
import { numbers } from '@retrap/tooling/random'
import { afterEach, expect, test } from 'vitest'
import type { FromWorker, SentOptions } from '../src/protocol.ts'
import { snapshotFile } from '../src/worker/snapshots.ts'
import { WorkerMachine } from '../src/worker/worker-machine.ts'
import { drawingGuest, echoingGuest } from './support/guests.ts'

type Event = Extract<FromWorker, { event: string }>

/** A machine, and what it tells its page. */
class Told {
  readonly events: Event[] = []
  machine!: WorkerMachine
  #typed = 0

  static async open(guest: Uint8Array): Promise<Told> {
    const told = new Told()
    const images = { firmware: { bytes: guest as Uint8Array<ArrayBuffer> } }
    const options: SentOptions = { images, drives: null, shared: false, memoryBytes: 1 << 20, vga: 'std' }
    told.machine = await WorkerMachine.open(
      options,
      (message) => void ('event' in message && told.events.push(message)),
    )
    await told.machine.run()
    return told
  }

  get serial(): number[] {
    return this.events.flatMap((event) => (event.event === 'serial' ? [...event.bytes] : []))
  }

  get state(): string | undefined {
    return this.events.flatMap((event) => (event.event === 'state' ? [event.state] : [])).at(-1)
  }

  get warnings(): string[] {
    return this.events.flatMap((event) => (event.event === 'warning' ? [event.message] : []))
  }

  /** Types the next of all bytes, in their order. */
  type(): void {
    this.machine.told({ tell: 'serial', bytes: Uint8Array.of(this.#typed++ & 0xff) })
  }

  /** Waits until the guest has sent all back that was typed. */
  async echoed(): Promise<void> {
    const all = Array.from({ length: this.#typed }, (_, i) => i & 0xff)
    await expect.poll(() => this.serial, { timeout: 40_000, interval: 20 }).toEqual(all)
  }

  async snapshot(): Promise<Uint8Array<ArrayBuffer>> {
    const file = await snapshotFile(await this.machine.save(null), null)
    return new Uint8Array(await file.arrayBuffer())
  }
}

let told: Told
afterEach(() => told.machine.pause())

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
    told = await Told.open(echoingGuest())
    const saved = await told.snapshot()
    for (let steps = 1 + below(3); steps > 0; steps--) {
      for (let i = below(20); i > 0; i--) told.type()
      const verb = VERBS[below(VERBS.length)]!
      // What the port itself has goes with its machine.
      if (verb === 'restore' || verb === 'reset') await told.echoed()
      let isOver = false
      const acted = act(verb, saved).finally(() => (isOver = true))
      // All the while, at most 4 KiB.
      for (let i = below(15); i > 0 || (!isOver && i > -4096); i--) {
        told.type()
        await sleep([0, 0, 1, 4][below(4)])
      }
      await acted
      await told.machine.run()
    }
    told.type()
    await told.echoed()
  },
)

test('keys of the keyboard that a recorded machine has not taken are those of its branch', async () => {
  told = await Told.open(drawingGuest())
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
  told = await Told.open(echoingGuest())
  await told.machine.record()
  told.type()
  await told.echoed()
  const { now } = (await told.machine.debug('position', [])) as { now: number }
  await told.machine.debug('travel', [{ to: now - 1 }])
  expect([told.state, told.warnings]).toEqual(['paused', []])
  told.machine.told({ tell: 'serial', bytes: Uint8Array.of(99) })
  told.machine.told({ tell: 'keys', keys: [{ code: 'KeyA', down: true }] })
  expect(await told.machine.type('a', undefined)).toBe(false)
  expect(told.warnings).toEqual([expect.stringContaining('This is the past')])
  await told.machine.branch()
  expect(told.state).toBe('running')
  const before = told.serial.length
  told.type()
  await expect.poll(() => told.serial.slice(before)).toEqual([1])
  // A machine that was paused stays paused.
  await told.machine.pause()
  await told.machine.branch()
  expect(told.state).toBe('paused')
})
