import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { activateLongMode, descriptor, FLAT } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc, type GuestSample, type PcOptions } from '../src/index.ts'
import { BASE, multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const EXIT_PORT = 0xf4
const SLOW = 0xfed9_0000
const ROUNDS = 200_000
/** Instructions that each function executes in a round. */
const SHARES = { straight: 60, loop: 120, nested: 20, main: 8 } as const
/** Where each begins. */
const PAGES = { straight: BASE + 0x1000, loop: BASE + 0x2000, nested: BASE + 0x3000, main: BASE + 0x4000 } as const
const TOTAL = SHARES.straight + SHARES.loop + SHARES.nested + SHARES.main

/**
 * A kernel that calls three functions in turn: `straight` has neither a loop nor a frame, `loop` has both, and `nested`
 * has a frame and calls `straight` through a register. Each has a page of its own.
 */
function kernel(bits: 32 | 64 = 32): Uint8Array {
  const wide = bits === 64
  const enter = (asm: x86.Assembler): x86.Assembler =>
    wide ? asm.push(x86.rbp).mov(x86.rbp, x86.rsp) : asm.push(x86.ebp).mov(x86.ebp, x86.esp)
  const leave = (asm: x86.Assembler): x86.Assembler => (wide ? asm.pop(x86.rbp).ret() : asm.pop(x86.ebp).ret())
  return multibootKernel((asm) => {
    const [straight, loop, nested, main] = [asm.label(), asm.label(), asm.label(), asm.label()]
    if (wide) enterLongMode(asm)
    asm.mov(x86.esp, 0x20_0000).mov(x86.ecx, ROUNDS).jmp(main)
    // 60 instructions, of which half run on behalf of `nested`.
    asm.org(PAGES.straight).bind(straight)
    for (let i = 0; i < SHARES.straight / 2 - 1; i++) asm.inc(x86.eax)
    asm.ret()
    enter(asm.org(PAGES.loop).bind(loop))
    asm.mov(x86.ebx, (SHARES.loop - 6) / 2)
    const again = asm.here()
    asm.dec(x86.ebx).jnz(again)
    leave(asm.nop())
    enter(asm.org(PAGES.nested).bind(nested))
    asm.mov(x86.ebx, straight)
    for (let i = 0; i < SHARES.nested - 6; i++) asm.inc(x86.eax)
    leave(wide ? asm.call(x86.rbx) : asm.call(x86.ebx))
    asm.org(PAGES.main).bind(main).xor(x86.ebp, x86.ebp)
    const round = asm.here()
    asm.call(straight).call(loop).call(nested)
    asm.nop().nop().nop().dec(x86.ecx).jnz(round)
    exit(asm)
  })
}

/** Tables of the first 4 MiB, one page each. */
const TABLES = 0x30_0000

/** Emits the way from 32-bit to 64-bit code. */
function enterLongMode(asm: x86.Assembler): void {
  const [gdt, gdtr, code, over] = [asm.label(), asm.label(), asm.label(), asm.label()]
  for (const [at, entry] of [
    [TABLES, TABLES + 0x1003],
    [TABLES + 0x1000, TABLES + 0x2003],
    [TABLES + 0x2000, 0x83],
    [TABLES + 0x2008, 0x20_0083],
  ] as const)
    asm.mov(x86.dword(at), entry).mov(x86.dword(at + 4), 0)
  asm.jmp(over).align(8).bind(gdt)
  asm.dq(0n, descriptor(0, 0xf_ffff, 0x9b, 0xa), FLAT.data)
  asm.bind(gdtr).dw(23).dd(gdt).bind(over)
  activateLongMode(asm, { tables: TABLES })
  asm.lgdt(x86.fword(gdtr)).jmpf(x86.far32(8, code)).bits(64).bind(code)
}

function exit(asm: x86.Assembler): void {
  asm.mov(x86.dx, x86.imm16(EXIT_PORT)).mov(x86.al, 0).out(x86.dx, x86.al).jmp(asm.here())
}

const exitDevice = (): DebugExit => new DebugExit({ iobase: EXIT_PORT, iosize: 1 })

interface Sampled {
  readonly samples: readonly GuestSample[]
  readonly idleNs: number
  readonly instructions: number
}

async function run(options: Partial<PcOptions>): Promise<Sampled> {
  const samples: GuestSample[] = []
  let idleNs = 0
  const pc = await createPc({
    memoryBytes: 4 * MIB,
    codeCacheBytes: 4 * MIB,
    devices: [exitDevice()],
    kernel: kernel(),
    clock: 'deterministic',
    sampling: {
      intervalMs: 0.02,
      onSample: (sample) => void samples.push(sample),
      onIdle: (ns) => void (idleNs += ns),
    },
    ...options,
  })
  expect(await pc.run({ timeoutMs: 60_000 })).toEqual({ reason: 'debug-exit', code: 1 })
  return { samples, idleNs, instructions: pc.statistics().instructions }
}

const pageOf = (address: bigint): number => Number(address) & ~0xfff
const sum = (samples: readonly GuestSample[]): number => samples.reduce((total, { ns }) => total + ns, 0)

describe('samples', () => {
  test('stand for the time that functions have taken, on deterministic time', async () => {
    const { samples, idleNs, instructions } = await run({})
    expect(instructions).toBeGreaterThan(ROUNDS * TOTAL)
    // All the time there was, but for what came behind the last sample.
    expect(sum(samples) / instructions).toBeGreaterThan(0.99)
    expect(sum(samples) / instructions).toBeLessThanOrEqual(1)
    expect(idleNs).toBe(0)
    for (const name of ['straight', 'loop', 'nested', 'main'] as const) {
      const share = sum(samples.filter(({ address }) => pageOf(address) === PAGES[name])) / sum(samples)
      // Three standard deviations of a thousand samples.
      expect([name, Math.abs(share - SHARES[name] / TOTAL) < 0.045]).toEqual([name, true])
    }
    expect(new Set(samples.map(({ vcpu, isUser, pageTables }) => `${vcpu} ${isUser} ${pageTables}`))).toEqual(
      new Set(['0 false undefined']),
    )
  })

  test.each([32, 64] as const)(
    'have callers where frame pointers or a direct call show them: %d bits',
    async (bits) => {
      const { samples } = await run({ kernel: kernel(bits) })
      expect(new Set(samples.slice(1).map(({ pageTables }) => pageTables))).toEqual(
        new Set([bits === 64 ? BigInt(TABLES) : undefined]),
      )
      const callers = (name: keyof typeof PAGES): string[] => {
        const found = samples.filter(({ address }) => pageOf(address) === PAGES[name])
        return found.map((sample) => sample.callers.map(pageOf).join())
      }
      const share = (all: readonly string[], wanted: string): number =>
        all.filter((one) => one === wanted).length / all.length
      // Not in the first instructions and the last one: the frame is not there.
      expect(share(callers('loop'), `${PAGES.main}`)).toBeGreaterThan(0.9)
      expect(share(callers('nested'), `${PAGES.main}`)).toBeGreaterThan(0.7)
      // It has no frame: its caller's return address is on top of the stack, for the half that `main` calls.
      expect(share(callers('straight'), `${PAGES.main}`)).toBeGreaterThan(0.9)
      expect(share(callers('main'), '')).toBe(1)
    },
  )

  test('are the same with hot code compiled, and change nothing of the run', async () => {
    const interpreted = await run({})
    const compiled = await run({ jit: { threshold: 1 } })
    expect(compiled).toEqual(interpreted)
    const pc = await run({ sampling: undefined })
    expect(pc.instructions).toBe(interpreted.instructions)
  })

  test("follow the host's clock otherwise", async () => {
    const begun = performance.now()
    const { samples } = await run({ clock: 'real' })
    const tookNs = (performance.now() - begun) * 1e6
    expect(samples.length).toBeGreaterThan(10)
    expect(sum(samples)).toBeLessThan(tookNs)
    for (const { ns } of samples) expect(ns).toBeGreaterThan(0)
  })

  test.each([
    { clock: 'real', leastMs: 45 },
    // No virtual time passes while a device takes its time, but for the cost of the wait.
    { clock: 'deterministic', leastMs: 0 },
  ] as const)('idle time is told: a device answers after 50 ms, on $clock time', async ({ clock, leastMs }) => {
    const slow = defineDevice({
      name: 'slow',
      mmio: { base: SLOW, size: 0x1000 },
      stateless: true,
      read: () => new Promise<number>((resolve) => void setTimeout(resolve, 50, 7)),
    })
    const waiting = multibootKernel((asm) => {
      asm.mov(x86.eax, x86.dword(SLOW))
      exit(asm)
    })
    const { idleNs } = await run({ kernel: waiting, clock, devices: [slow, exitDevice()] })
    expect(idleNs / 1e6).toBeGreaterThanOrEqual(leastMs)
    if (leastMs === 0) expect(idleNs / 1e6).toBeLessThan(1)
  })
})

test.each([
  { sampling: 1 },
  { sampling: {} },
  { sampling: { onSample: 1 } },
  { sampling: { onSample: () => {}, intervalMs: 0 } },
  { sampling: { onSample: () => {}, onIdle: 1 } },
])('%o is refused', async (options) => {
  await expect(createPc({ memoryBytes: MIB, kernel: kernel(), ...(options as object) })).rejects.toMatchObject({
    code: 'ERR_OPTION',
    message: expect.stringMatching(/^sampling .*expected \{ onSample: function/) as string,
  })
})
