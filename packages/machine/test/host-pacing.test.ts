/** A guest on deterministic time that is kept to the time of the host while it waits. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createPc, HostPacing, type Pc, type PacedDomain, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { EXIT_PORT, idleFirmware, LAST, TICK_PORT, TICKS } from './support/idle-guest.ts'
import { kept } from './support/kept.ts'
import { Pieces } from './support/pieces.ts'

const options = (reload: number, keepsPace = false): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  keepsPace,
  firmware: idleFirmware(reload),
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

const resultOf = (pc: Pc) => {
  const bytes = new Uint8Array(0x200)
  pc.domain.guestMemory.read(TICKS, bytes)
  return { bytes, instructions: pc.domain.instructions, time: pc.domain.clock.now() }
}

test('a paced run is the same as one that is not, with pauses and with bytes at instants of its own', async () => {
  const results: object[] = []
  const took: number[] = []
  for (const keepsPace of [false, true]) {
    const { devices, ...others } = options(24_000, keepsPace)
    const types = defineDevice({
      name: 'typist',
      deterministic: true,
      stateless: true,
      ports: { base: TICK_PORT, size: 1 },
      write: (_offset, _size, tick) => {
        if (tick === 12) pc.serial.receive(Uint8Array.of(LAST))
        else if (tick % 3 === 0) pc.serial.receive(Uint8Array.of(tick))
      },
    })
    const pc: Pc = await createPc({ ...others, devices: [...devices!, types] })
    kept(pc)
    const begun = performance.now()
    const running = pc.run({ timeoutMs: 20_000 })
    for (let pause = 0; keepsPace && pause < 5; pause++) {
      await sleep(13)
      await pc.save()
    }
    expect(await running).toMatchObject({ reason: 'debug-exit' })
    took.push(performance.now() - begun)
    results.push(resultOf(pc))
  }
  expect(results[1]).toEqual(results[0])
  // Twelve ticks of 20 ms.
  expect(took[1]).toBeGreaterThan(200)
})

test('bytes that are typed while a paced machine is recorded come at the time of the host, and the run replays', async () => {
  const file = new Pieces()
  const recorder = await recordPc(options(60_000), file.write, { keepsPace: true })
  const { pc } = recorder
  kept(pc)
  const running = pc.run({ timeoutMs: 20_000 })
  await sleep(20)
  const [time, host] = [pc.domain.clock.now(), performance.now()]
  for (let i = 0; i < 8; i++) {
    await sleep(23)
    pc.serial.receive(Uint8Array.of(2 * i))
  }
  // Its time has gone on by as much, within the 50 ms of its ticks.
  expect((pc.domain.clock.now() - time) / 1e6).toBeLessThan(performance.now() - host + 60)
  await sleep(23)
  pc.serial.receive(Uint8Array.of(LAST))
  expect(await running).toMatchObject({ reason: 'debug-exit' })
  expect((pc.domain.clock.now() - time) / 1e6).toBeGreaterThan(150)
  await recorder.end()
  const replay = kept(await replayPc(options(60_000), file.source))
  expect(await replay.run({ timeoutMs: 20_000 })).toMatchObject({ reason: 'debug-exit' })
  expect(resultOf(replay.pc)).toEqual(resultOf(pc))
})

describe("a guest's time", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  const MS = 1e6
  const at = (ms: number): { lo: number; hi: number } => ({ lo: (ms * MS) >>> 0, hi: Math.floor((ms * MS) / 2 ** 32) })
  const guest = () => {
    let time = 0
    const clock = {
      now: () => time,
      advance: (ns: number) => void (time += ns),
      skipTo: ({ lo, hi }: { lo: number; hi: number }) => void (time = Math.max(time, hi * 2 ** 32 + lo)),
    }
    const vcpu = { dormant: false }
    const timers = { nextDeadlineNs: 0 }
    const pacing = new HostPacing({ clock, vcpus: [vcpu], timers } as unknown as PacedDomain)
    pacing.isOn = true
    pacing.restart()
    return { clock, pacing, vcpu, timers, ms: () => Math.round(time / MS) }
  }

  test('goes on to a timer only when as much of the time of the host has passed', () => {
    const { clock, pacing, ms } = guest()
    expect(pacing.early(at(5000))).toBeCloseTo(5000)
    vi.advanceTimersByTime(2000)
    // An input comes: it comes at this time, and the timer is still 3 s ahead.
    pacing.begin()
    expect(ms()).toBe(2000)
    expect(pacing.early(at(5000))).toBeCloseTo(3000)
    vi.advanceTimersByTime(2999.5)
    pacing.begin()
    expect(pacing.early(at(5000))).toBe(0)
    clock.skipTo(at(5000))
    // It was early by half a millisecond, which is not forgotten.
    expect(pacing.early(at(6000))).toBeCloseTo(1000.5)
  })

  test('is as it was where a wait ends by itself, or for a pause', () => {
    const { pacing, vcpu, timers, ms } = guest()
    vcpu.dormant = true
    timers.nextDeadlineNs = 5000 * MS
    expect(pacing.early(at(5000))).toBeCloseTo(5000)
    vi.advanceTimersByTime(2000)
    pacing.begin()
    expect(ms()).toBe(0)
    expect(pacing.early(at(5000))).toBeCloseTo(3000)
    vi.advanceTimersByTime(4000)
    expect(pacing.early(at(5000))).toBe(0)
    expect(pacing.early(at(9000))).toBeCloseTo(9000)
    // An input at last, which comes late: it does not come behind the timer.
    vi.advanceTimersByTime(9500)
    vcpu.dormant = false
    pacing.begin()
    expect(ms()).toBe(9000)
  })

  test('does not make up for what the guest or the host was too slow for', () => {
    const { clock, pacing, ms } = guest()
    expect(pacing.early(at(1000))).toBeCloseTo(1000)
    vi.advanceTimersByTime(1000)
    pacing.begin()
    // 100 ms of the guest take a second of the host.
    clock.advance(100 * MS)
    vi.advanceTimersByTime(1000)
    expect(pacing.early(at(1200))).toBeCloseTo(100)
    // The machine stands still for an hour, and its guest has seen nothing of it.
    vi.advanceTimersByTime(3_600_000)
    pacing.restart()
    pacing.begin()
    expect(ms()).toBe(1100)
    expect(pacing.early(at(1200))).toBeCloseTo(100)
  })

  test('is its own where nobody wants it to be as that of the host', () => {
    const { pacing, ms } = guest()
    pacing.isOn = false
    expect(pacing.early(at(5000))).toBe(0)
    vi.advanceTimersByTime(1000)
    pacing.begin()
    expect(ms()).toBe(0)
  })
})
