/** A machine that is recorded goes back from where it is, and on again. */
import { setImmediate as turn } from 'node:timers/promises'
import { ax, dx, imm16 } from '@retrap/x86-assembler'
import { openRecording } from '@retrap/recording'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { type PcOptions, type PcRecorder, recordPc, replayPc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { medium } from './support/media.ts'
import { Pieces } from './support/pieces.ts'
import { COUNT_ADDRESS, pollingKernel, pollingResult } from './support/polling-guest.ts'

const IMAGE = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i * 131) ^ (i >> 8))

const options = (cpus: 1 | 2, jit: boolean): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  cpus,
  jit,
  clock: 'deterministic',
  kernel: pollingKernel(cpus),
  drives: [{ medium: medium(IMAGE, () => turn()) }],
})

/** Runs the machine on with a debugger while bytes are typed, until it has counted so many more. */
async function runOn({ pc }: PcRecorder, go: (signal: AbortSignal) => Promise<unknown>, more: number): Promise<void> {
  const { count } = pollingResult(pc) as { count: number }
  const stop = new AbortController()
  const running = go(stop.signal)
  for (let i = 0; (pollingResult(pc) as { count: number }).count < count + more; i++) {
    if (i < 5) pc.serial.receive(Uint8Array.of(65 + i))
    await turn()
  }
  stop.abort()
  expect(await running).toEqual({ reason: 'stopped' })
}

const MACHINES = [
  { cpus: 1, jit: true },
  { cpus: 2, jit: false },
] as const

test.each(sliced(MACHINES, 2))(
  '$cpus vCPUs, JIT $jit: back, on, and back again',
  { timeout: 120_000 },
  async ({ cpus, jit }) => {
    const file = new Pieces()
    const recorder = await recordPc(options(cpus, jit), file.write, { checkpointMs: 5 })
    const { pc } = recorder
    kept(pc)
    const debug = await recorder.debugger({ read: file.read })
    const count = (): number => (pollingResult(debug.pc) as { count: number }).count
    const watched = debug.watch(BigInt(COUNT_ADDRESS), 4, 'write')
    for (let visit = 0; visit < 2; visit++) {
      watched.remove()
      await runOn(recorder, (signal) => debug.continue({ signal }), 20)
      expect(debug.pc).toBe(pc)
      const [now, counted] = [recorder.instructions, count()]
      const here = pollingResult(pc)
      const again = debug.watch(BigInt(COUNT_ADDRESS), 4, 'write')
      for (let back = 1; back <= 3; back++) {
        expect(await debug.reverseContinue()).toMatchObject({ reason: 'watch', address: BigInt(COUNT_ADDRESS) })
        expect(count()).toBe(counted - back)
        expect(debug.pc).not.toBe(pc)
        expect(debug.instructions).toBeLessThan(now)
      }
      // The machine itself has not moved, and what was done since then is done again.
      expect(recorder.instructions).toBe(now)
      for (let on = 1; on <= 3; on++) {
        expect(await debug.continue()).toMatchObject({ reason: 'watch' })
        expect(count()).toBe(counted - 3 + on)
      }
      expect(await debug.continue()).toEqual({ reason: 'end-of-recording' })
      expect([debug.instructions, pollingResult(debug.pc)]).toEqual([now, here])
      expect(await debug.stepBack()).toEqual({ reason: 'step' })
      expect(debug.instructions).toBe(now - 1)
      expect(await debug.whoWrote(BigInt(COUNT_ADDRESS), { physical: true })).toMatchObject({ by: 'instruction' })
      again.remove()
      // To where it is, and on.
      expect(await debug.step()).toEqual({ reason: 'step' })
      expect(await debug.step()).toEqual({ reason: 'step' })
      expect(debug.pc).toBe(pc)
      expect(recorder.instructions).toBe(now + 1)
      // By number: into the past, to where it is, and to where it has not been yet.
      for (const to of [now - 5, now + 1, now + 501]) {
        expect(await debug.goto(to)).toEqual({ reason: 'step' })
        expect([debug.instructions, debug.pc === pc]).toEqual([to, to > now])
      }
      expect(recorder.instructions).toBe(now + 501)
      await expect(debug.goto(-1)).rejects.toMatchObject({ code: 'ERR_OPTION' })
    }
    await recorder.end()
    // What was recorded is one run.
    const replay = kept(await replayPc(options(cpus, !jit), file.source))
    expect(await replay.run({ timeoutMs: 60_000 })).toEqual({ reason: 'end-of-recording' })
    expect(replay.instructions).toBe(recorder.instructions)
    expect(pollingResult(replay.pc)).toEqual(pollingResult(pc))
  },
)

test('the end of the machine is told, and it can be gone back from', { timeout: 60_000 }, async () => {
  const file = new Pieces()
  // It switches the machine off.
  const kernel = multibootKernel((asm) => asm.mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt())
  const ends: unknown[] = []
  const recorder = await recordPc({ memoryBytes: 4 << 20, clock: 'deterministic', kernel }, file.write)
  kept(recorder.pc)
  const debug = await recorder.debugger({ read: file.read, onExit: (exit) => ends.push(exit) })
  expect(await debug.continue()).toMatchObject({ reason: 'power-off' })
  expect(ends).toMatchObject([{ reason: 'power-off' }])
  expect(await debug.continue()).toMatchObject({ reason: 'power-off' })
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
  expect(debug.instructions).toBe(0)
  await recorder.end()
})

test('what a recording cannot be written for is told', { timeout: 60_000 }, async () => {
  const file = new Pieces()
  let isFull = false
  const write = (piece: Uint8Array): void => {
    if (isFull) throw new Error('the disk is full')
    file.write(piece)
  }
  const failures: unknown[] = []
  const recorder = await recordPc(options(1, true), write, { checkpointMs: Infinity })
  kept(recorder.pc)
  const debug = await recorder.debugger({ read: file.read, onFailure: (error) => failures.push(error) })
  await runOn(recorder, (signal) => debug.continue({ signal }), 5)
  isFull = true
  expect(await debug.continue().catch((error: unknown) => error)).toMatchObject({ message: 'the disk is full' })
  expect(failures).toMatchObject([{ message: 'the disk is full' }])
})

test('a recording that has ended is gone through by nobody, and has no checkpoints that were not wanted', async () => {
  const file = new Pieces()
  const recorder = await recordPc(options(1, true), file.write, { checkpointMs: Infinity })
  kept(recorder.pc)
  const debug = await recorder.debugger({ read: file.read })
  await runOn(recorder, (signal) => debug.continue({ signal }), 5)
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
  await recorder.end()
  const ended = expect.objectContaining({ code: 'ERR_STATE' })
  for (const act of [
    () => debug.continue(),
    () => debug.stepBack(),
    () => debug.reverseContinue(),
    () => debug.step(),
  ]) {
    expect(await act().catch((error: unknown) => error)).toEqual(ended)
  }
  const replay = kept(await replayPc(options(1, true), file.source))
  expect(replay.end).toBe(recorder.instructions)
  expect((await openRecording(file.source)).checkpoints).toEqual([])
})

test('a fault that is caught stops it, and its past', { timeout: 60_000 }, async () => {
  const file = new Pieces()
  const kernel = multibootKernel((asm) => asm.mov(dx, imm16(1)).ud2())
  const recorder = await recordPc({ memoryBytes: 4 << 20, clock: 'deterministic', kernel }, file.write)
  kept(recorder.pc)
  const debug = await recorder.debugger({ read: file.read })
  const INVALID_OPCODE = 6
  const registers = await debug.pc.debugger()
  registers.catchFault(INVALID_OPCODE, true)
  expect(await debug.continue()).toEqual({ reason: 'stopped' })
  expect(registers.register('rdx')).toBe(1n)
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
  await recorder.end()
})

test('who wrote memory last is asked where it is', { timeout: 60_000 }, async () => {
  const file = new Pieces()
  const recorder = await recordPc(options(2, true), file.write)
  kept(recorder.pc)
  const debug = await recorder.debugger({ read: file.read })
  await runOn(recorder, (signal) => debug.continue({ signal }), 30)
  const writer = await debug.whoWrote(BigInt(COUNT_ADDRESS), { physical: true })
  expect(writer).toMatchObject({ by: 'instruction' })
  expect(debug.pc).toBe(recorder.pc)
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
})

test('a debugger writes nothing into a run that is recorded', async () => {
  const recorder = await recordPc(options(1, false), new Pieces().write)
  kept(recorder.pc)
  const debug = await recorder.pc.debugger()
  await debug.stop()
  const before = [debug.register('rbx'), pollingResult(recorder.pc)]
  const writes = [
    debug.write(BigInt(COUNT_ADDRESS), Uint8Array.of(1)),
    debug.writePhysical(COUNT_ADDRESS, Uint8Array.of(1)),
  ]
  expect([debug.setRegister('rbx', 77n), ...writes]).toEqual([false, 0, 0])
  expect([debug.register('rbx'), pollingResult(recorder.pc)]).toEqual(before)
})
