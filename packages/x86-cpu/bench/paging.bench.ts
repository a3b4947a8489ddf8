// What a paging-structure cache and PCIDs are worth, on a bare 64-bit processor.
//
// The guest reads a word of a random page of 64 MiB, so that nearly every read misses the TLB, or of one page, so that
// none does: the difference is the cost of a miss. Then it goes back and forth between two address spaces and reads some
// pages in each, with bit 63 of what it loads into CR3 set (nothing is dropped) and clear.
import { PagingStructureCache } from '@retrap/paging'
import { type Assembler, cr3, dword, eax, ebx, ecx, edi, edx, rax, rbx, rdx, rsi } from '@retrap/x86-assembler'
import { S_CR3, S_CR4 } from '../src/state/state-layout.ts'
import { S_ACTIVITY } from '../src/state/system-state.ts'
import { BareCpu, CODE } from '../test/support/bare-cpu.ts'

const READS = 10_000
const SWITCHES = 200
const PAGES = 16_384
/** Linear address of those pages, all of one frame. */
const RANGE = 0x4000_0000
const FRAME = 0x9_0000
const CR4_PCIDE = 1 << 17
const SECOND_ROOT = 0x30_8000

function machine(cached: boolean): BareCpu {
  const pc = new BareCpu()
  pc.host.cache = cached ? new PagingStructureCache() : null
  pc.write64(0x30_1008, 0x30_9027n)
  for (let table = 0; table < PAGES / 512; table++)
    pc.write64(0x30_9000 + 8 * table, BigInt(0x31_0027 + 0x1000 * table))
  for (let page = 0; page < PAGES; page++) pc.write64(0x31_0000 + 8 * page, BigInt(FRAME | 0x67))
  pc.write64(SECOND_ROOT, pc.read64(0x30_0000))
  pc.cpu.u32[S_CR4 >>> 2]! |= CR4_PCIDE
  pc.cpu.u32[S_CR3 >>> 2]! |= 1
  pc.host.controlChanged()
  return pc
}

/** A machine with a program in it. */
function job(cached: boolean, program: (asm: Assembler) => void): BareCpu {
  const pc = machine(cached)
  pc.program(program)
  return pc
}

/**
 * Nanoseconds of a run of each machine's program, the shortest of many. They run in turn and are shorter than a time slice,
 * so that other load on the host falls on all or on none; and for long enough for V8 to have replaced its baseline code.
 */
function measure(...jobs: readonly BareCpu[]): number[] {
  const best = jobs.map(() => Infinity)
  const stop = performance.now() + 1500 * jobs.length
  while (performance.now() < stop) {
    for (const [i, pc] of jobs.entries()) {
      pc.cpu.u32[S_ACTIVITY >>> 2] = 0
      pc.rip = CODE
      const began = performance.now()
      let exit = pc.run(1_000_000)
      while (exit.reason === 'budget') exit = pc.run(1_000_000)
      if (exit.reason !== 'hlt') throw new Error(`the guest ended with ${exit.reason}`)
      best[i] = Math.min(best[i] as number, (performance.now() - began) * 1e6)
    }
  }
  return best
}

/** Reads of random pages among the first `pages`. */
function reads(pages: number): (asm: Assembler) => void {
  return (asm) => {
    asm.mov(ecx, READS).mov(eax, 1).mov(rsi, RANGE)
    const loop = asm.here('loop')
    asm.imul(eax, eax, 1_664_525).add(eax, 1_013_904_223)
    // The low bits of such a generator are poor.
    asm
      .mov(edx, eax)
      .shr(edx, 6)
      .and(edx, (pages - 1) << 12)
    asm.add(ebx, dword(rsi, { index: rdx }))
    asm.dec(ecx).jne(loop).hlt()
  }
}

/** Reads of `pages` pages in each of two address spaces in turn. */
function switches(pages: number, keep: boolean): (asm: Assembler) => void {
  const bit63 = keep ? 1n << 63n : 0n
  return (asm) => {
    asm
      .mov(ecx, SWITCHES)
      .mov(rax, 0x30_0001n | bit63)
      .mov(rbx, BigInt(SECOND_ROOT | 2) | bit63)
    const loop = asm.here('loop')
    asm.mov(cr3, rax).xchg(rax, rbx).mov(rsi, RANGE).mov(edx, pages)
    const next = asm.here('next')
    asm.mov(edi, dword(rsi)).add(rsi, 0x1000).dec(edx).jne(next)
    asm.dec(ecx).jne(loop).hlt()
  }
}

export function run(): void {
  const [hit = 0, plain = 0, hitCached = 0, cached = 0] = measure(
    ...[false, true].flatMap((each) => [job(each, reads(1)), job(each, reads(PAGES))]),
  )
  const miss = (plain - hit) / READS
  const cachedMiss = (cached - hitCached) / READS
  console.log(
    `paging: ${(miss / cachedMiss).toFixed(2)} x without a paging-structure cache ` +
      `(a TLB miss, 4 levels, 4 KiB pages: ${cachedMiss.toFixed(0)} ns against ${miss.toFixed(0)} ns; ` +
      `the read itself and its loop ${(hitCached / READS).toFixed(1)} ns)`,
  )
  for (const pages of [16, 128]) {
    const both = measure(job(true, switches(pages, false)), job(true, switches(pages, true)))
    const [dropped = 0, kept = 0] = both.map((time) => time / SWITCHES)
    console.log(
      `paging-pcid: ${(dropped / kept).toFixed(2)} x dropping translations (a switch of address spaces that keeps them: ` +
        `MOV to CR3 and reads of ${pages} pages: ${(kept / 1000).toFixed(2)} µs against ` +
        `${(dropped / 1000).toFixed(2)} µs)`,
    )
  }
}
