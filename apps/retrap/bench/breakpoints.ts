// What breakpoints cost that lie in the page of a hot loop, and are never reached: of bench travel.
import { DebugExit } from '@retrap/devices'
import { createPc } from '@retrap/machine'
import { elfImage, join, multibootHeader } from '@retrap/tooling/images'
import { al, Assembler, dword, dx, eax, ecx } from '@retrap/x86-assembler'

const BASE = 0x10_0000
const PT_LOAD = 1
const PAGE = BASE + 0x1000
const EXIT_PORT = 0xf4
const ROUNDS = 200_000_000
/** At most this many times the time without breakpoints. */
const MOST_RATIO = 2

/** Prints the processor time of a loop with one breakpoint in its page, and with a thousand, beside that without one. */
export async function measureBreakpoints(): Promise<void> {
  await timeWith(1)
  for (const count of [1, 1000]) {
    const ratios: number[] = []
    for (let pair = 0; pair < 3; pair++) ratios.push((await timeWith(count)) / (await timeWith(0)))
    const ratio = ratios.sort((a, b) => a - b)[1]!
    console.log(
      `travel-breakpoints-${count}: ${ratio.toFixed(2)} x the time without (median of 3 pairs, ${ROUNDS / 1e6} million rounds of a loop in ` +
        `the same page; ${ratio <= MOST_RATIO ? 'reaches the goal' : 'ABOVE THE GOAL'}: at most ${MOST_RATIO})`,
    )
  }
}

/** Milliseconds of processor time of the loop. */
async function timeWith(breakpoints: number): Promise<number> {
  const pc = await createPc({
    memoryBytes: 4 << 20,
    jit: true,
    kernel: loop(),
    devices: [new DebugExit({ iobase: EXIT_PORT })],
  })
  const debug = await pc.debugger()
  for (let i = 0; i < breakpoints; i++) debug.breakpoint(BigInt(PAGE + 0x800 + i))
  const before = process.cpuUsage()
  await pc.run()
  const { user, system } = process.cpuUsage(before)
  pc.close()
  return (user + system) / 1000
}

/** A multiboot kernel: a loop with a load and a store, then the end. */
function loop(): Uint8Array<ArrayBuffer> {
  const header = multibootHeader(3)
  const entry = BASE + header.length
  const asm = new Assembler({ bits: 32, address: entry })
  const start = asm.label()
  asm.mov(ecx, ROUNDS).jmp(start).org(PAGE).bind(start)
  asm.mov(eax, dword(0x18_0000)).add(eax, ecx).mov(dword(0x18_0000), eax).dec(ecx).jnz(start)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()
  const bytes = join(header, asm.assemble().bytes)
  const segment = { type: PT_LOAD, virtualAddress: BASE, physicalAddress: BASE, bytes, memoryBytes: bytes.length }
  return new Uint8Array(elfImage(32, entry, [segment]))
}
