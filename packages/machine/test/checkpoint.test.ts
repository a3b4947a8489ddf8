/** A machine that goes back to a checkpoint of its own, as often as wanted. */
import { defineDevice } from '@retrap/device'
import { saveDomain } from '@retrap/hvm'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { createPc, type MachineCheckpoint, type Pc, type PcOptions, recordPc } from '../src/index.ts'
import { CLOCKED, clocked, clockLog } from './support/clock-guest.ts'
import { kept, someTurns } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { linesOf } from './support/whole-state.ts'

async function made(options: Omit<PcOptions, 'memoryBytes'>, memoryBytes = 4 << 20): Promise<Pc> {
  return kept(await createPc({ memoryBytes, codeCacheBytes: 4 << 20, jit: TEST_JIT, ...options }))
}

test.each(sliced(CLOCKED, 3))(
  '$machine with devices $devicePlacement is at its checkpoint what a new machine is there',
  async (given) => {
    const pc = await made(clocked(given))
    const first = await pc.checkpoint()
    const begin = pc.run({ timeoutMs: 300_000 })
    await someTurns(Math.random() * 40)
    // On a busy host its guest may have ended it: then the instant is the first.
    const checkpoint = await pc.checkpoint().catch(() => first)
    expect(await begin).toMatchObject({ reason: 'debug-exit' })
    await checkpoint.reset()
    const before = linesOf(await saveDomain(pc.domain, 1000))
    const snapshot = await pc.save()
    const fresh = await made({ ...clocked(given), snapshot })
    expect(linesOf(await saveDomain(fresh.domain, 1000))).toEqual(before)
    await fresh.run({ timeoutMs: 300_000 })
    const expected = clockLog(fresh, 0n)
    const end = linesOf(await saveDomain(fresh.domain, 1000))
    for (let times = 0; times < 3; times++) {
      const running = pc.run({ timeoutMs: 300_000 })
      // From the middle of a run, and from its end.
      if (times < 2) await someTurns(Math.random() * 20)
      else await running
      await checkpoint.reset()
      // One that has not run to its end goes on from the instant by itself.
      if (pc.state === 'running') expect(await running).toMatchObject({ reason: 'debug-exit' })
      else await pc.run({ timeoutMs: 300_000 })
      expect(clockLog(pc, 0n)).toEqual(expected)
      expect(linesOf(await saveDomain(pc.domain, 1000))).toEqual(end)
      await checkpoint.reset()
      expect(linesOf(await saveDomain(pc.domain, 1000))).toEqual(before)
    }
  },
)

/** A machine without work, whose time passes only when it runs. */
const halting = (): Omit<PcOptions, 'memoryBytes'> => ({
  kernel: multibootKernel((asm) => void asm.hlt()),
  clock: 'deterministic',
})

const errorOf = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => 'done',
    (error: unknown) => error,
  )

test('a checkpoint that was closed, or whose machine was, leads nowhere', async () => {
  const pc = await made(halting())
  const first = await pc.checkpoint()
  const second = await pc.checkpoint()
  first.close()
  first.close()
  expect(await errorOf(first.reset())).toMatchObject({ code: 'ERR_STATE', message: /checkpoint was closed/ })
  pc.domain.guestMemory.write(2 << 20, Uint8Array.of(1))
  await second.reset()
  const byte = Uint8Array.of(9)
  pc.domain.guestMemory.read(2 << 20, byte)
  expect(byte[0]).toBe(0)
  pc.close()
  second.close()
  expect(await errorOf(second.reset())).toMatchObject({ code: 'ERR_STATE' })
  expect(pc.domain.dirtyLogs.beforeWrites).toBeNull()
})

test.each([
  ['that has run', true],
  ['that has not run', false],
])('a machine %s, and is put back to a snapshot, still goes back to its checkpoint', async (_, hasRun) => {
  const pc = await made(halting(), 8 << 20)
  if (hasRun) await pc.run({ timeoutMs: 20 })
  const { guestMemory } = pc.domain
  const put = (value: number): void => {
    for (let gpa = 1 << 20; gpa < 8 << 20; gpa += 3 * 4096) guestMemory.write(gpa, Uint8Array.of(value))
  }
  put(1)
  const snapshot = await pc.save()
  put(2)
  const checkpoint = await pc.checkpoint()
  const expected = linesOf(await saveDomain(pc.domain, 1000))
  for (const [known, isBrought] of [
    [snapshot, true],
    [snapshot, false],
    [structuredClone(snapshot), true],
  ] as const) {
    await pc.restore(known)
    // All of the snapshot's RAM is there then.
    if (isBrought) expect((await pc.save()).pages).toEqual(snapshot.pages)
    await checkpoint.reset()
    expect(linesOf(await saveDomain(pc.domain, 1000))).toEqual(expected)
  }
})

test('a caller whose listener throws, and a device that is too late, leave what they should', async () => {
  let isLate = false
  const late = defineDevice({
    name: 'late',
    ports: [],
    stateless: true,
    quiesce: () => (isLate ? new Promise<void>(() => undefined) : undefined),
  })
  const pc = await made({ ...halting(), devices: [late] })
  const checkpoint = await pc.checkpoint()
  pc.domain.guestMemory.write(2 << 20, Uint8Array.of(1))
  isLate = true
  const tooLate: readonly (() => Promise<unknown>)[] = [
    () => checkpoint.reset({ deadlineMs: 1 }),
    () => pc.checkpoint({ deadlineMs: 1 }),
  ]
  for (const action of tooLate) {
    expect(await errorOf(action())).toMatchObject({ code: 'ERR_SNAPSHOT', message: /late/ })
  }
  isLate = false
  // It is as it was, and goes back now.
  expect(checkpoint.writtenFrames).toBe(1)
  let told = 0
  await checkpoint.reset({ atRest: () => void told++ })
  expect([told, checkpoint.writtenFrames]).toEqual([1, 0])
  const why = new Error('the listener')
  const atRest = (): never => {
    throw why
  }
  expect(await errorOf(checkpoint.reset({ atRest }))).toBe(why)
  expect(await errorOf(checkpoint.reset())).toMatchObject({ code: 'ERR_STATE' })
})

test.each<[string, () => Promise<Pc>]>([
  ['whose run is recorded', async () => (await recordPc({ memoryBytes: 4 << 20, ...halting() }, () => undefined)).pc],
])('a machine %s has no checkpoint, and says why', async (_, make) => {
  const pc = kept(await make())
  const error = await errorOf(pc.checkpoint().then((checkpoint: MachineCheckpoint) => checkpoint.close()))
  expect(error).toMatchObject({ code: 'ERR_SNAPSHOT' })
})
