/** Models that act by the host's time on deterministic time: a warning, once and by name, and none for those that do it right. */
import { defineDevice, type DeviceContext, type DeviceDefinition, LateAnswers } from '@retrap/device'
import { TEST_JIT } from '@retrap/tooling/jit'
import { sliceTests } from '@retrap/tooling/slice'
import { al, byte, dword, dx, eax, imm16, imm32 } from '@retrap/x86-assembler'
import { afterEach, expect, vi } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const test = sliceTests(3)

const BASE = 0xfed9_0000
const FLAG = 0x20_0000
// Rings the doorbell, waits for the flag in RAM, then powers off.
const kernel = multibootKernel((asm) => {
  asm.mov(dword(BASE), imm32(FLAG))
  const wait = asm.here()
  asm.pause().cmp(byte(FLAG), 0).jz(wait)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt().mov(al, 0)
})
const FLAGS = Uint8Array.of(1)
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

afterEach(() => void vi.restoreAllMocks())

type Ring = (context: DeviceContext, gpa: number) => void | Promise<void>

async function warnings(
  name: string,
  ring: Ring,
  more: Partial<DeviceDefinition> = {},
  options: Partial<PcOptions> = {},
): Promise<readonly string[]> {
  let context: DeviceContext
  const card = defineDevice({
    name,
    mmio: { base: BASE, size: 0x1000, minimumAccess: 4 },
    attach: (given) => void (context = given),
    write: (_offset, _size, gpa) => ring(context, gpa),
    ...more,
  })
  const told: string[] = []
  vi.spyOn(console, 'warn').mockImplementation((text) => void told.push(text as string))
  const machine = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT, kernel, devices: [card] }
  const pc = await createPc({ ...machine, clock: 'deterministic', ...options })
  const { reason } = await pc.run({ timeoutMs: 20_000 })
  pc.close()
  expect(reason).toBe('power-off')
  return told
}

const write: Ring = (context, gpa) => void context.dma.write(gpa, FLAGS)
// A host that is busy may be late with the first ones: they fire while the machine waits for the answer to the doorbell.
const astray = async (): Promise<void> => {
  for (let i = 0; i < 4; i++) await later(5)
}
const strays: Ring = (context, gpa) => void astray().then(() => write(context, gpa))

test.each<[string, Ring, Partial<DeviceDefinition>?, runs?: number]>([
  ['a timer of the host', strays],
  ['a timer of the host, in a synchronous model', strays, { synchronous: true }],
  [
    'an interrupt line',
    (context, gpa) => {
      const line = context.interruptLine(10)
      const timer = context.timer(() => write(context, gpa))
      void astray().then(() => (line.set(true), timer.armAfter(0)))
    },
  ],
  [
    'a promise of its own',
    (context, gpa) => void Promise.resolve().then(() => write(context, gpa)),
    { synchronous: true },
    // It has one occasion, and a timer of the machine that expires at that instant hides it.
    5,
  ],
  ['a model that says that it follows from time alone', strays, { deterministic: true }],
])('%s is warned about, with the cure', async (name, ring, more, runs = 1) => {
  const cure = 'answers by LateAnswers of @retrap/device, or acts in a timer of context.timer'
  let [told, ...others]: readonly (string | undefined)[] = []
  for (let i = 0; told === undefined && i < runs; i++) [told, ...others] = await warnings(name, ring, more)
  expect(told).toContain(`device model '${name}' has acted`)
  expect(told).toContain(cure)
  // Nor is the next machine's model of that name.
  expect([...others, ...(await warnings(name, ring, more))]).toEqual([])
})

test.each<[string, Ring, Partial<DeviceDefinition>?, Partial<PcOptions>?]>([
  ['an answer at once', write, { synchronous: true }],
  ['an answer that takes its time', async (context, gpa) => later(5).then(() => write(context, gpa))],
  ['a timer of the machine', (context, gpa) => context.timer(() => write(context, gpa)).armAfter(1e6)],
  [
    'what a timer of the machine waits for',
    (context, gpa) => context.timer(() => later(5).then(() => void write(context, gpa))).armAfter(1e6),
  ],
  [
    'a late answer',
    (context, gpa) =>
      new LateAnswers<number, void>(context, { ask: () => later(5), answer: () => void write(context, gpa) }).start(0),
  ],
  ['a model that says so', strays, { deterministic: false }],
  ['real time', strays, {}, { clock: 'real' }],
])('%s is not warned about', async (name, ring, more, options) => {
  expect(await warnings(name, ring, more, options)).toEqual([])
})
