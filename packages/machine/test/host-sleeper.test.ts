// Waits on the host's event loop, with a host whose timers fire when the test says so.
import { afterEach, expect, test, vi } from 'vitest'
import { HostSleeper } from '../src/lifecycle/host.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

/** A host at time 0: its timers and turns of the event loop, those that have not come first. */
function fakeHost(): {
  at: (ms: number) => void
  timers: Map<number, [ms: number, fire: () => void]>
  turns: (() => void)[]
} {
  let time = 0
  let made = 0
  const timers = new Map<number, [number, () => void]>()
  const turns: (() => void)[] = []
  vi.spyOn(performance, 'now').mockImplementation(() => time)
  vi.stubGlobal('setTimeout', (fire: () => void, ms: number) => {
    timers.set(++made, [ms, fire])
    return made
  })
  vi.stubGlobal('clearTimeout', (timer: number) => timers.delete(timer))
  vi.stubGlobal('setImmediate', (callback: () => void) => turns.push(callback))
  return { at: (ms) => (time = ms), timers, turns }
}

/** Fires the only timer there is. */
function fire(timers: Map<number, [ms: number, fire: () => void]>): void {
  const [[id, [, fired]]] = [...timers] as [[number, [number, () => void]]]
  timers.delete(id)
  fired()
}

/** Whether a wait has ended. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  return Promise.race([wait.then(() => true), Promise.resolve().then(async () => Promise.resolve(false))])
}

const waits = (timers: Map<number, [ms: number, fire: () => void]>): number[] => [...timers.values()].map(([ms]) => ms)

test('a timer that is early is followed by one for the rest, and the wait ends when its time has come', async () => {
  const { at, timers, turns } = fakeHost()
  const wait = new HostSleeper().sleep(3.5)
  expect(waits(timers)).toEqual([4])
  at(3.4)
  fire(timers)
  expect(waits(timers)).toEqual([1])
  expect(await isOver(wait)).toBe(false)
  at(4.1)
  fire(timers)
  expect(await isOver(wait)).toBe(true)
  expect([timers.size, turns.length]).toEqual([0, 0])
})

test.each([2, Infinity])('something that happens ends a wait of %d ms, and its timer', async (ms) => {
  const { timers } = fakeHost()
  const sleeper = new HostSleeper()
  const wait = sleeper.sleep(ms)
  expect(timers.size).toBe(ms === Infinity ? 0 : 1)
  sleeper.wake()
  expect(await isOver(wait)).toBe(true)
  expect(timers.size).toBe(0)
})

test('four short waits after a longer one take a timer, and those that follow turns of the event loop', () => {
  const { at, timers, turns } = fakeHost()
  const sleeper = new HostSleeper()
  for (const round of [0, 1]) {
    void sleeper.sleep(1)
    at(1000 * round + 1)
    fire(timers)
    for (let i = 0; i < 6; i++) {
      void sleeper.sleep(0.25)
      expect([timers.size, turns.length]).toEqual(i < 4 ? [1, 2 * round] : [0, 2 * round + i - 3])
      at(1000 * round + 2 + i)
      if (i < 4) fire(timers)
    }
    at(1000 * (round + 1))
  }
})

test('a turn of the event loop is no wait', () => {
  const { timers, turns } = fakeHost()
  const sleeper = new HostSleeper()
  for (let i = 0; i < 5; i++) void sleeper.sleep(0)
  void sleeper.sleep(0.5)
  expect([timers.size, turns.length]).toEqual([1, 5])
})
