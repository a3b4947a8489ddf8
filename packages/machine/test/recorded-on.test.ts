/** Models of the caller's that have state go on from a snapshot, and what they do from there on is recorded. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineDevice, type DeviceContext } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { startLocalServer } from '@retrap/device-hosting'
import { al, type Assembler, dword, dx, eax, ebx, imm16, imm32 } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions, type PcSnapshot, recordPc, replayPc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'

const [EXIT_PORT, DEVICE, STATE, POLLS] = [0x501, 0xfed9_0000, 0x20_0000, 3000]

/** Mixes the device's answers and the time into a hash, a number of times. */
const kernel = multibootKernel((asm: Assembler) => {
  asm.xor(ebx, ebx)
  const poll = asm.here()
  asm.mov(eax, dword(DEVICE)).rol(ebx, 5).xor(ebx, eax).rdtsc().rol(ebx, 5).xor(ebx, eax)
  asm.mov(dword(STATE), ebx)
  asm
    .inc(dword(STATE + 4))
    .cmp(dword(STATE + 4), imm32(POLLS))
    .jl(poll)
  asm.mov(dx, imm16(EXIT_PORT)).mov(al, 0).out(dx, al).hlt()
})

/** The guest's time, in nanoseconds, at which the model was given its state. */
let restoredAt = 0

/** Counts reads, and by a timer of the guest's; some answers take their time. What it counts is its state. */
function counter(): ReturnType<typeof defineDevice> {
  let [reads, ticks] = [0, 0]
  let timer: ReturnType<DeviceContext['timer']>
  let now: () => number
  return defineDevice({
    name: 'counter',
    mmio: { base: DEVICE, size: 8 },
    async read() {
      if (Math.random() < 0.01) await sleep(1)
      return (ticks << 16) + ++reads
    },
    attach(context) {
      now = () => {
        const into = { lo: 0, hi: 0 }
        context.clock.read(into)
        return into.lo
      }
      timer = context.timer(() => {
        ticks++
        timer.armAfter(100_000)
      })
      timer.armAfter(100_000)
    },
    save: () => ({ reads, ticks }),
    restore(state) {
      ;({ reads, ticks } = state as { reads: number; ticks: number })
      restoredAt = now()
      // A timer may be due at once.
      timer.armAfter(Math.random() < 0.3 ? 0 : Math.floor(Math.random() * 100_000))
    },
  })
}

const options = (more: Partial<PcOptions> = {}): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  kernel,
  devices: [new DebugExit({ iobase: EXIT_PORT })],
  deviceServers: [
    (dispatch, platform, realTime) =>
      startLocalServer({ dispatch, platform }, { name: 'elsewhere', realTime }, (server) => {
        server.attach(counter())
      }),
  ],
  ...more,
})

function stateOf(pc: Pc): number[] {
  const bytes = new Uint8Array(8)
  pc.domain.guestMemory.read(STATE, bytes)
  return [...new Uint32Array(bytes.buffer), pc.domain.instructions]
}

test('a run that is recorded begins with a snapshot of a machine with servers', async () => {
  const first = kept(await createPc(options()))
  for (let i = 0; i < 1000 && stateOf(first)[1]! < 100; i++) await first.run({ timeoutMs: 3 })
  const snapshot = await first.save()
  const savedAt = first.domain.clock.now()
  await expect(recordPc(options({ snapshot }), () => {}, { checkpointMs: Infinity })).rejects.toMatchObject({
    code: 'ERR_OPTION',
    message: expect.stringContaining('begins at a checkpoint'),
  })
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options({ snapshot }), (piece) => void pieces.push(piece.slice()))
  kept(recorder.pc)
  expect([savedAt > 0, restoredAt]).toEqual([true, savedAt])
  // What its models do is recorded, and they are saved with it: another machine goes on there, as this one does.
  let saved: PcSnapshot | undefined
  while (saved === undefined) {
    expect(await recorder.pc.run({ timeoutMs: 3 })).toMatchObject({ reason: 'timeout' })
    saved = await recorder.pc.save().catch(() => undefined)
  }
  const there = recorder.pc.domain.clock.now()
  const other = kept(await createPc(options({ snapshot: saved })))
  expect([restoredAt, await other.run({ timeoutMs: 100_000 })]).toMatchObject([there, { reason: 'debug-exit' }])
  expect(stateOf(other)[1]).toBe(POLLS)
  expect(await recorder.pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  const end = stateOf(recorder.pc)
  await recorder.end()
  expect(end[1]).toBe(POLLS)
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = kept(await replayPc(options(), source))
  const played = await replay.pc.save()
  await expect(createPc(options({ snapshot: played }))).rejects.toThrow('it was saved in a replay')
  expect(await replay.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  expect(stateOf(replay.pc)).toEqual(end)
})
