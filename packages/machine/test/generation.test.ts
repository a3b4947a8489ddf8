/** The identifier of a machine's generation: of clones, and of machines that go back. */
import { expect, test } from 'vitest'
import * as machines from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
/** Where ACPI says that it is, and the line by which the guest is told. */
const ADDRESS = 0xfed6_0000
const LINE = 7
const VECTOR = 0x47

async function made(
  generation: machines.MachineGeneration | undefined,
  more: Partial<machines.PcOptions> = {},
): Promise<machines.Pc> {
  const kernel = multibootKernel((asm) => void asm.hlt())
  const forks = { clones: 4, writtenBytes: MIB }
  const options = { memoryBytes: 8 * MIB, codeCacheBytes: 4 * MIB, generation, kernel, forks, ...more }
  const pc = kept(await machines.createPc(options))
  if (more.snapshot === undefined) listen(pc)
  return pc
}

const cloned = async (pc: machines.Pc, options?: machines.PcForkOptions): Promise<machines.Pc> =>
  kept(await pc.fork(options))

function idOf({ domain }: machines.Pc): string {
  const ma = domain.p2m.translate(ADDRESS)
  return ma < 0 ? 'none' : Buffer.from(domain.memory.read(ma, 16)).toString('hex')
}

/** Has the line's edges be interrupts, as a guest does. */
function listen({ domain }: machines.Pc): void {
  const { ioApic } = domain.interrupts
  const apic = domain.interrupts.localApic(0)
  const saved = ioApic.save()
  const entries = (saved['entries'] as unknown[]).with(LINE, { low: VECTOR, high: 0 })
  ioApic.restore({ ...saved, entries })
  apic.restore({ ...apic.save(), spuriousVector: 0x1ff })
}

const isTold = ({ domain }: machines.Pc): boolean => {
  const { requests } = domain.interrupts.localApic(0).save()['vectors'] as { requests: number[] }
  return ((requests[VECTOR >>> 5]! >>> (VECTOR & 31)) & 1) !== 0
}

/** The next of the numbers that a generator for the guest has. */
const numbersOf = async (pc: machines.Pc): Promise<number | null> => (await pc.save()).state.random

test('a clone has an identifier of its own, and is told; so is a machine that is restored, or put back', async () => {
  const pc = await made({})
  const first = idOf(pc)
  expect([first.length, isTold(pc)]).toEqual([32, false])
  const checkpoint = await pc.checkpoint()
  const clones = [await cloned(pc), await cloned(pc)]
  const snapshot = await pc.save()
  const restored = await made({}, { kernel: undefined, snapshot })
  expect([idOf(pc), isTold(pc)]).toEqual([first, false])
  const ids = [first, ...[...clones, restored].map(idOf)]
  await checkpoint.reset()
  ids.push(idOf(pc))
  await pc.restore(snapshot)
  ids.push(idOf(pc))
  expect(new Set(ids).size).toBe(6)
  expect([...clones, restored, pc].map(isTold)).toEqual([true, true, true, true])
})

test('a machine of deterministic time goes on as it did, and with a number as that says', async () => {
  const pc = await made({}, { clock: 'deterministic' })
  const same = await cloned(pc)
  expect([idOf(same), isTold(same), await numbersOf(same)]).toEqual([idOf(pc), false, await numbersOf(pc)])
  const ids: string[] = [idOf(pc)]
  const numbers: unknown[] = [await numbersOf(pc)]
  for (const after of [1, 2, 3]) {
    const clone = await cloned(pc, { generation: { after } })
    const again = await cloned(pc, { generation: { after } })
    expect(idOf(clone)).toBe(idOf(again))
    expect(isTold(clone)).toBe(true)
    ids.push(idOf(clone))
    numbers.push(await numbersOf(clone))
    clone.close()
    again.close()
  }
  expect([new Set(ids).size, new Set(numbers).size]).toEqual([4, 4])
})

test('it stays the same where that is asked for, and there is none without the option', async () => {
  const pc = await made({ after: 'same' })
  const clone = await cloned(pc)
  expect([idOf(clone), isTold(clone)]).toEqual([idOf(pc), false])
  expect(idOf(await made(undefined))).toBe('none')
  await expect(made({ after: 'other' as never }).then(() => 'made')).rejects.toMatchObject({ code: 'ERR_OPTION' })
})

test('a machine that is restored an hour later has the hour at once where it rests, and its clock has it once', async () => {
  const pc = await made(undefined)
  const { state, pages } = await pc.save()
  const from = pc.domain.clock.now()
  const older = structuredClone(state)
  clockOf(older).wallSeconds -= 3600
  const restored = async (generation?: machines.MachineGeneration): Promise<machines.Pc> =>
    made(generation, { kernel: undefined, snapshot: { state: older, pages } })
  const ahead = (machine: machines.Pc): number => (machine.domain.clock.now() - from) / 1e9
  const later = await restored()
  // What has not passed yet passes for a machine that goes on from there.
  const again = await made({}, { kernel: undefined, snapshot: await later.save() })
  while (ahead(again) < 3600) {
    await again.run({ signal: AbortSignal.timeout(100) })
  }
  const { baseSeconds, base } = clockOf((await again.save()).state)
  const shown = baseSeconds + (again.domain.clock.now() - base.lo - base.hi * 2 ** 32) / 1e9
  expect(Math.abs(shown - Date.now() / 1000 - 3600)).toBeLessThan(3)
  const atOnce = await restored({ catchesUp: false })
  expect([ahead(atOnce) < 8, idOf(atOnce) === 'none']).toEqual([true, false])
})

test('bytes for a serial port wait until the guest knows that it goes on, and none is lost to a clone', async () => {
  const pc = await made({})
  const clone = await cloned(pc)
  expect(clone.serial.receive(new TextEncoder().encode('ls'))).toBe(true)
  const taken = new Promise<void>((resolve) => {
    const look = (): void => void (clone.serial.unread!.length < 2 ? resolve() : setTimeout(look, 5))
    look()
  })
  expect(new TextDecoder().decode(clone.serial.unread)).toBe('ls')
  const running = clone.run({ signal: AbortSignal.timeout(8000) })
  await taken
  clone.close()
  await running
  pc.serial.receive(Uint8Array.of(1))
  expect(pc.serial.unread).toEqual(new Uint8Array())
})

interface ClockState {
  wallSeconds: number
  readonly baseSeconds: number
  readonly base: { readonly lo: number; readonly hi: number }
}

const clockOf = ({ domain }: machines.PcSnapshotState): ClockState =>
  (domain.devices.local.devices as unknown as { readonly mc146818: ClockState }).mc146818
