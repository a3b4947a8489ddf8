/** A machine on the host's clock goes on as one that is recorded, and as itself again; and what a replay takes from its recording. */
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { expect, test } from 'vitest'
import * as machines from '../src/index.ts'
import { idleFirmware, TICKS } from './support/idle-guest.ts'
import { kept } from './support/kept.ts'
import { Pieces } from './support/pieces.ts'

const firmware = idleFirmware(1000)
const options: machines.PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, firmware }

const ticksOf = ({ domain }: machines.Pc): number => {
  const bytes = new Uint8Array(4)
  domain.guestMemory.read(TICKS, bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}

/** Runs it until its timer has ticked so often more. */
async function ticked(pc: machines.Pc, more: number): Promise<void> {
  const stop = new AbortController()
  const last = ticksOf(pc) + more
  pc.serial.onTransmit(() => ticksOf(pc) >= last && stop.abort())
  expect(await pc.run({ signal: stop.signal, timeoutMs: 20_000 })).toEqual({ reason: 'stopped' })
  expect(ticksOf(pc)).toBeGreaterThanOrEqual(last)
}

const rtcOf = ({
  domain,
}: machines.PcSnapshotState): { reference: { wall: number; shown: number } | null; wallSeconds: number | null } =>
  domain.devices.local.devices['mc146818'] as ReturnType<typeof rtcOf>

/** All that two machines that are the same have in common. */
const lookOf = ({ domain }: machines.Pc): unknown => [
  domain.instructions,
  saveVcpuRegisters(domain.vcpus[0]!.cpu),
  domain.guestMemory.read(TICKS, new Uint8Array(0x200)),
]

test('a machine goes on in one that is recorded, which is run again, and goes on in one on the host’s clock', async () => {
  const first = kept(await machines.createPc(options))
  await ticked(first, 5)
  const { state, pages } = await first.save()
  const asTaken = { ...options, clock: 'deterministic' } as const
  await expect(machines.createPc({ ...asTaken, snapshot: { state, pages } })).rejects.toThrow(
    /clock real, expected determin/,
  )
  const exact = machines.stateOnClock(state, 'deterministic', 6)
  // A run that is exact knows nothing of the host's clock.
  expect(rtcOf(state).wallSeconds).toEqual(expect.any(Number))
  expect(rtcOf(exact)).toMatchObject({ wallSeconds: null, reference: null })
  expect(exact.domain.round).toMatchObject({ begun: false, spent: 0 })
  expect(machines.stateOnClock(exact, 'deterministic', 9)).toBe(exact)
  expect(exact.domain.clock.time).toEqual(state.domain.clock.time)

  const file = new Pieces()
  const recorder = await machines.recordPc({ ...asTaken, snapshot: { state: exact, pages } }, file.write)
  const recorded = kept(recorder.pc)
  expect(ticksOf(recorded)).toBe(ticksOf(first))
  await ticked(recorded, 50)
  const back = await recorded.save()
  await recorder.end()
  const replay = kept(await machines.replayPc(asTaken, file.source))
  expect(await replay.run({ timeoutMs: 20_000 })).toEqual({ reason: 'end-of-recording' })
  expect(lookOf(replay.pc)).toEqual(lookOf(recorded))

  const snapshot = { ...back, state: machines.stateOnClock(back.state, 'real', 0) }
  expect(snapshot.state.domain.round).toBe(null)
  const last = kept(await machines.createPc({ ...options, snapshot }))
  expect(last.domain.clock.now()).toBeGreaterThanOrEqual(recorded.domain.clock.now())
  await ticked(last, 5)
  // And it is put back in place.
  await last.restore(snapshot)
  expect(ticksOf(last)).toBe(ticksOf(recorded))
  await ticked(last, 5)
})

test('a seed begins the random numbers; other clocks and seeds are refused', async () => {
  const { state, pages } = await kept(await machines.createPc(options)).save()
  const numbers = async (seed: number): Promise<number[]> => {
    const exact = { state: machines.stateOnClock(state, 'deterministic', seed), pages }
    const { domain } = kept(await machines.createPc({ ...options, clock: 'deterministic', snapshot: exact }))
    return [domain.architecture.random(), domain.architecture.random()]
  }
  const [zero, some, other] = [await numbers(0), await numbers(6), await numbers(7)]
  expect(await numbers(6)).toEqual(some)
  expect(new Set([...zero, ...some, ...other]).size).toBe(6)
  expect(() => machines.stateOnClock(state, 'deterministic', -1)).toThrow(/seed -1: expected a whole number of 32 bits/)
  expect(() => machines.stateOnClock(state, 'other' as 'real', 1)).toThrow(
    /clock other: expected real or deterministic/,
  )
  // A state may come from anywhere; a machine refuses it.
  for (const none of [null, {}, { machine: { clock: 'real' } }])
    expect(machines.stateOnClock(none as unknown as typeof state, 'deterministic', 1)).toBe(none)
})

test('a machine goes on with more RAM, of which the page of its generation tells', async () => {
  const [noted, memoryBytes] = [{ ...options, generation: {} }, 8 << 20]
  const { state, pages } = await kept(await machines.createPc(noted)).save()
  const snapshot = { pages, state: machines.stateWithMemory(state, memoryBytes) }
  const { domain } = kept(await machines.createPc({ ...noted, memoryBytes, snapshot }))
  const told = new Uint8Array(15)
  domain.guestMemory.read(0xfed6_0040, told)
  // RAM is there, from 4 MiB on.
  expect([...told]).toEqual([0x0f, 0x87, 23, 0, 0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0x40, 0])
  expect(machines.stateWithMemory(snapshot.state, memoryBytes)).toBe(snapshot.state)
  for (const bytes of [2 << 20, 4e9])
    expect(() => machines.stateWithMemory(state, bytes)).toThrow(/at most 3221225472 bytes/)
})

test('a replay has the time and the seed of power-on from the recording', async () => {
  const facts = { epochSeconds: 1_000_000_000, entropySeed: 77 }
  const file = new Pieces()
  const recorder = await machines.recordPc({ ...options, ...facts, clock: 'deterministic' }, file.write)
  const { pc } = recorder
  kept(pc)
  await recorder.end()
  const replay = kept(await machines.replayPc({ ...options, clock: 'deterministic' }, file.source))
  expect(replay.pc.domain.architecture.random()).toBe(pc.domain.architecture.random())
  const plain = kept(await machines.createPc({ ...options, ...facts, entropySeed: 79, clock: 'deterministic' }))
  expect(plain.domain.architecture.random()).not.toBe(replay.pc.domain.architecture.random())
  for (const [name, value] of [
    ['entropySeed', 79],
    ['epochSeconds', 5],
  ] as const)
    await expect(machines.replayPc({ ...options, clock: 'deterministic', [name]: value }, file.source)).rejects.toThrow(
      `another machine: ${name} ${facts[name]}, expected ${value}`,
    )
})
