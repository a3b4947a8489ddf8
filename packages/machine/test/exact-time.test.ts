/** A whole PC on deterministic time that begins late: what it does is what it does from 0 on. */
import { Instant } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test, vi } from 'vitest'
import { createPc } from '../src/index.ts'
import * as clockGuest from './support/clock-guest.ts'

const power = vi.hoisted(() => ({ on: 0n }))

vi.mock(import('@retrap/hvm'), async (original) => {
  const hvm = await original()
  return {
    ...hvm,
    DeterministicClock: class extends hvm.DeterministicClock {
      constructor() {
        super(1, Instant.from(power.on))
      }
    },
  }
})

/** Runs it. @returns the log, its times since power-on; and at which time, and after how many instructions, it ended */
async function run(mode: clockGuest.ClockMode, start: bigint) {
  power.on = start
  const pc = await createPc({
    jit: TEST_JIT,
    memoryBytes: 4 << 20,
    codeCacheBytes: 4 << 20,
    firmware: clockGuest.clockFirmware(mode),
    clock: 'deterministic',
    devices: [new DebugExit({ iobase: clockGuest.EXIT_PORT })],
  })
  expect(await pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit', code: 1 })
  const log = clockGuest.clockLog(pc, start)
  const end = new Instant()
  pc.domain.clock.read(end)
  pc.close()
  return { log, time: end.toBigInt() - start, retired: pc.domain.vcpus[0]!.cpu.retired }
}

test.each(['periodic', 'deadline'] as const)('with the local APIC’s timer in mode %s', async (mode) => {
  const first = await run(mode, 0n)
  const vectors = first.log.map(([vector]) => vector)
  for (const vector of [clockGuest.PIT_VECTOR, clockGuest.RTC_VECTOR, clockGuest.APIC_VECTOR]) {
    expect(vectors.filter((each) => each === vector).length).toBeGreaterThan(50)
  }
  for (const start of [2n ** 53n - 1_000_000_000n, 2n ** 53n - 20_000_000n, 2n ** 53n + 1n, 2n ** 62n - 20_000_000n]) {
    expect(await run(mode, start)).toEqual(first)
  }
})
