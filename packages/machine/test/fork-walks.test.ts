/** Page walks of a clone, which a guest sees by accessed and dirty bits: they are those of a machine that was not forked. */
import { DebugExit } from '@retrap/devices'
import { EAGER_JIT, type EagerJit } from '@retrap/tooling/jit'
import { al, cr0, cr3, dword, dx, eax, ebp, ebx, ecx, edi, esi, esp, imm32, type Label } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { createPc, type Pc } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { BASE, multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const DIRECTORY = 2 * MIB
const TABLE = DIRECTORY + 0x1000
/** Pages that are written in turn, one a round. */
const WRITTEN = 0x28_0000
const PAGES = 64
const LOG = 0x30_0000
const ROUNDS = 3000
const FUNCTIONS = 5
const EXIT_PORT = 0x501
const [ACCESSED, DIRTY] = [0x20, 0x40]

/**
 * Executes code in several pages, with data and a stack beside it, and copies a page's words to another page. Notes the accessed and
 * dirty bits of all pages after each round, and clears them: the TLB is flushed every sixteenth round only.
 */
const kernel = multibootKernel((asm) => {
  const functions: Label[] = Array.from({ length: FUNCTIONS }, () => asm.label())
  asm.mov(edi, imm32(TABLE)).mov(eax, 3)
  const map = asm.here()
  asm
    .mov(dword(edi), eax)
    .add(edi, 4)
    .add(eax, 0x1000)
    .cmp(eax, imm32(4 * MIB))
    .jb(map)
  asm
    .mov(dword(DIRECTORY), TABLE | 3)
    .mov(eax, imm32(DIRECTORY))
    .mov(cr3, eax)
  asm.mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
  asm.xor(ebp, ebp).mov(esp, imm32(BASE + 0x3000))
  const round = asm.here()
  for (const each of functions) asm.call(each)
  asm
    .mov(edi, ebp)
    .and(edi, PAGES - 1)
    .shl(edi, 12)
    .add(edi, imm32(WRITTEN))
    .mov(esi, imm32(BASE + 0x2800))
    .movsd()
    .movsd()
  asm.mov(esi, imm32(TABLE)).mov(ecx, 1024).xor(ebx, ebx)
  const each = asm.here()
  asm
    .lodsd()
    .and(eax, ACCESSED | DIRTY)
    .rol(ebx, 3)
    .add(ebx, eax)
    .and(dword(esi, { disp: -4 }), ~(ACCESSED | DIRTY))
  asm.dec(ecx).jnz(each)
  asm
    .mov(edi, ebp)
    .shl(edi, 2)
    .mov(dword(edi, { disp: LOG }), ebx)
  const kept = asm.label()
  asm.inc(ebp).test(ebp, 15).jnz(kept).mov(eax, cr3).mov(cr3, eax).bind(kept)
  asm.cmp(ebp, imm32(ROUNDS)).jb(round)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
  for (const [i, label] of functions.entries()) {
    const page = BASE + 0x2000 + i * 0x1000
    asm.org(page).bind(label)
    asm
      .inc(dword(page + 0x800))
      .push(dword(page + 0x804))
      .pop(dword(page + 0x808))
      .ret()
  }
})

const exit = (): DebugExit[] => [new DebugExit({ iobase: EXIT_PORT })]

const made = async (jit: EagerJit | false): Promise<Pc> =>
  kept(
    await createPc({
      ...{ memoryBytes: 4 * MIB, codeCacheBytes: 1 << 20, jit, kernel, clock: 'deterministic' },
      ...{ devices: exit(), forks: { clones: 2, writtenBytes: 4 * MIB } },
    }),
  )

/** Runs a machine for so long. */
async function run(pc: Pc, ns: number): Promise<void> {
  pc.domain.timers.create(() => pc.domain.stop({ reason: 'stopped' })).armAfter(ns)
  expect(await pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'stopped' })
}

/** Runs a machine to its end. @returns its walks, and the bits that its guest has seen */
async function ended(pc: Pc): Promise<object> {
  const walks: string[] = []
  const { translation, counts } = pc.domain.vcpus[0]!
  translation.watch = ({ linear, access }) => void walks.push(`${linear.toString(16)} ${access}`)
  const before = counts.walks
  expect(await pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit' })
  const bits = new Uint8Array(4 * ROUNDS)
  pc.domain.guestMemory.read(LOG, bits)
  return { walks, count: counts.walks - before, bits, end: pc.domain.clock.now() }
}

test.each([
  { how: 'interpreted', jit: false as const },
  { how: 'compiled', jit: EAGER_JIT },
])('are those of a machine that was not forked, $how', async ({ jit }) => {
  const FORKED_NS = 3_000_000
  const undisturbed = await made(jit)
  await run(undisturbed, FORKED_NS)
  // A clone begins without translations, and its source goes on as it does.
  for (const vcpu of undisturbed.domain.vcpus) vcpu.mapChanged()
  const expected = await ended(undisturbed)
  const source = await made(jit)
  await run(source, FORKED_NS)
  const clone = kept(await source.fork({ devices: exit() }))
  expect(await ended(clone)).toEqual(expected)
  expect(await ended(source)).toEqual(expected)
})
