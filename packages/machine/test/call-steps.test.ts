/** Steps over calls and out of functions, in both directions, are those that a list of all executed instructions has. */
import { DebugExit } from '@retrap/devices'
import { decode } from '@retrap/x86-decoder'
import { SLICE, sliced } from '@retrap/tooling/slice'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { recordArmMachine, replayArmMachine } from '../src/arm/index.ts'
import { type PcOptions, type ReplayDebugger, recordPc, replayPc } from '../src/index.ts'
import { unwind } from '../src/lifecycle/unwind.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'
import { callGuest, EXIT_PORT, TICK_PORT } from './support/call-guest.ts'
import { kept } from './support/kept.ts'
import { Pieces } from './support/pieces.ts'

const options = (jit: boolean, firmware: Uint8Array): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 1 << 20,
  jit,
  clock: 'deterministic',
  firmware,
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

/** An executed instruction: its number is how many had retired before it. */
interface Executed {
  readonly address: bigint
  readonly depth: number
  /** The number of the call, or the first of the handler, that its frame began with. */
  readonly frame: number
  readonly isCall: boolean
  /** An interrupt was delivered before it. */
  readonly isFirst: boolean
}

/** Records a run, and lists what it executes: the depth follows from calls, interrupts and returns alone. */
async function recorded(jit: boolean, reload: number, popsArgument = true) {
  const firmware = callGuest(8, reload, popsArgument)
  const file = new Pieces()
  const recorder = await recordPc(options(jit, firmware), file.write, { checkpointMs: Infinity })
  kept(recorder.pc)
  const { domain } = recorder.pc
  const [vcpu] = domain.vcpus
  const executed: Executed[] = []
  const frames: number[] = [0]
  let isFirst = false
  let flow = 'next'
  vcpu!.cpu.watch({
    event: () => (isFirst = true),
    instruction: () => {
      const number = executed.length
      if (flow === 'call' || flow === 'indirect-call') frames.push(number - 1)
      if (flow === 'return') frames.pop()
      if (isFirst) frames.push(number)
      const { registers } = vcpu!.cpu
      const mode = ([16, 32, 64] as const)[registers.mode]!
      const address = registers.segmentBase(1) + registers.rip
      ;({ flow } = decode(vcpu!.translation.peekCode(address, 15), { mode }).info)
      const isCall = flow.endsWith('call')
      executed.push({ address, depth: frames.length, frame: frames.at(-1)!, isCall, isFirst })
      isFirst = false
    },
  })
  expect(await recorder.pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  expect(executed.length).toBe(recorder.instructions)
  expect(executed.filter((one) => one.isFirst).length).toBeGreaterThan(3)
  const replay = kept(await replayPc(options(jit, firmware), file.source, { checkpointMs: Infinity }))
  return { executed, debug: await replay.debugger() }
}

const isCall = (word: number): boolean => word >>> 26 === 0x25
const RET = 0xd65f_03c0
/** A function of an Arm board that calls itself twice, four calls deep, with frame records. */
const ARM_CALLS = image(
  // mov sp, x1; bl function
  ...[movz(0, 4), movz(1, 0x4020, 16), 0x9100_003f, 0x9400_0004, movz(0, 0x8400, 16), movk(0, 8), 0xd400_0002],
  // The function. stp x29, x30, [sp, #-32]!; mov x29, sp; str x0, [sp, #16]; cbz x0, out; sub x0, x0, #1; bl function
  ...[0xa9be_7bfd, 0x9100_03fd, 0xf900_0be0, 0xb400_00c0, 0xd100_0400, 0x97ff_fffb],
  // ldr x0, [sp, #16]; sub x0, x0, #1; bl function; out: ldp x29, x30, [sp], #32; ret
  ...[0xf940_0be0, 0xd100_0400, 0x97ff_fff8, 0xa8c2_7bfd, RET],
)

/** The same of an Arm board without interrupts. */
async function recordedArm() {
  const file = new Pieces()
  const how = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, clock: 'deterministic', kernel: ARM_CALLS } as const
  const recorder = await recordArmMachine(how, file.write, { checkpointMs: Infinity })
  const [vcpu] = kept(recorder.machine).domain.vcpus
  const executed: Executed[] = []
  const frames: number[] = [0]
  const bytes = new Uint8Array(4)
  let word = 0
  vcpu!.processor.watch({
    instruction: () => {
      if (isCall(word)) frames.push(executed.length - 1)
      if (word === RET) frames.pop()
      const address = vcpu!.processor.nextAddress
      vcpu!.translation.peek(address, bytes)
      word = new DataView(bytes.buffer).getUint32(0, true)
      const frame = { depth: frames.length, frame: frames.at(-1)! }
      executed.push({ address, ...frame, isCall: isCall(word), isFirst: false })
    },
  })
  expect(await recorder.machine.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'power-off' })
  await recorder.end()
  expect(executed.length).toBe(recorder.instructions)
  const replay = kept(await replayArmMachine(how, file.source, { checkpointMs: Infinity }))
  return { executed, debug: await replay.debugger() }
}

/** The next instruction of a frame of this depth. */
const nextAt = (executed: readonly Executed[], from: number, depth: number): number =>
  executed.findIndex((one, number) => number > from && one.depth <= depth)

type Way = 'stepOver' | 'reverseStepOver' | 'stepOut' | 'reverseStepOut'

const arrived = async (debug: Pick<ReplayDebugger, Way | 'instructions'>, way: Way) => {
  expect(await debug[way]()).toEqual({ reason: 'step' })
  return debug.instructions
}

const RUNS = [
  { of: 'a PC', run: () => recorded(false, 15) },
  { of: 'a PC, compiled', run: () => recorded(true, 15) },
  { of: 'an Arm board', run: recordedArm },
]

test.each(sliced(RUNS, 3))('$of: over calls and out of functions, forwards and back', async ({ run }) => {
  const { executed, debug } = await run()
  const inFunctions = executed.flatMap(({ depth, isFirst }, number) => (depth > 1 && !isFirst ? [number] : []))
  const calls = inFunctions.filter((number) => executed[number]!.isCall)
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...calls), fc.constantFrom(...inFunctions), async (call, inside) => {
      await debug.goto(call)
      expect(await arrived(debug, 'stepOver')).toBe(nextAt(executed, call, executed[call]!.depth))
      expect(await arrived(debug, 'reverseStepOver')).toBe(call)
      const { depth, frame } = executed[inside]!
      await debug.goto(inside)
      expect(await arrived(debug, 'stepOut')).toBe(nextAt(executed, inside, depth - 1))
      await debug.goto(inside)
      expect(await arrived(debug, 'reverseStepOut')).toBe(frame)
    }),
    { numRuns: 6 },
  )
})

test('callers of code without frame pointers are those that are returned to, in handlers of interrupts too', async () => {
  const { executed, debug } = await recorded(true, 15, false)
  const inside = executed.flatMap(({ depth }, number) => (depth > 1 ? [number] : []))
  const handlers = inside.filter((number) => executed[number]!.isFirst)
  const some = inside.filter((_, i) => i % 1500 === SLICE % 1500)
  for (const number of [...handlers.slice(0, 8), ...some].sort((a, b) => a - b)) {
    await debug.goto(number)
    const [vcpu] = debug.pc.domain.vcpus
    const { depth, address: next } = executed[number]!
    const callers = Array.from({ length: depth - 1 }, (_, i) => executed[nextAt(executed, number, depth - 1 - i)]!)
    // An interrupt that is delivered before the instruction may not have been yet.
    const isDelivered = vcpu!.cpu.registers.rip === next
    const wanted = callers.slice(isDelivered ? 0 : 1).map(({ address }) => address)
    expect(unwind(vcpu!), `instruction ${number}`).toEqual(wanted)
  }
  expect(some.length).toBeGreaterThan(5)
})

test('over an interrupt, to requests of devices, and a way that does not end', async () => {
  const { executed, debug } = await recorded(true, 15)
  // A handler is what is stepped over, and out of which one comes back to the place that it has interrupted.
  const interrupted = executed.findIndex(({ isFirst, depth }) => isFirst && depth > 2)
  await debug.goto(interrupted)
  const place = (): bigint => debug.pc.domain.vcpus[0]!.cpu.registers.rip
  const before = place()
  expect(await arrived(debug, 'stepOver')).toBe(nextAt(executed, interrupted, executed[interrupted]!.depth - 1) + 1)
  await debug.goto(interrupted + 3)
  expect(place()).not.toBe(before)
  expect(await arrived(debug, 'stepOut')).toBe(nextAt(executed, interrupted, executed[interrupted]!.depth - 1))
  expect(place()).toBe(before)
  expect(await debug.toRequest('device', 'back')).toMatchObject({ reason: 'port', address: TICK_PORT, write: true })
  const request = debug.instructions
  expect(await debug.toRequest('port', 'forwards')).toMatchObject({ reason: 'port', address: TICK_PORT })
  expect(debug.instructions).toBe(request + 1)
  // The guest's own code has no caller.
  await debug.goto(executed.findLastIndex(({ depth }) => depth === 1))
  await expect(debug.stepOut()).rejects.toMatchObject({ code: 'ERR_OPTION' })
  await expect(debug.stepOver({ cpu: 3 })).rejects.toMatchObject({ code: 'ERR_OPTION' })
  await debug.goto(interrupted)
  expect(await debug.stepOut({ signal: AbortSignal.abort() })).toEqual({ reason: 'stopped' })
})
